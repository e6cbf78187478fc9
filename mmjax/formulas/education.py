"""Beliefs about a learner, the next exercise, and how groups are served (section 5.6)."""

import itertools

import numpy as np


def path_posterior(start, move, likelihood):
    """p(s_T, w | o_1, …, o_T) by adding up all paths: [W, S].

    start [W, S]: p(w) p(s_0), where w is what stays (group, baselines); move [T, S, S]: the
    transition of each step's exercise; likelihood [T, W, S]: p(o_t | s_t, w).
    """
    W, S = start.shape
    T = len(move)
    total = np.zeros((W, S))
    for w in range(W):
        for path in itertools.product(range(S), repeat=T + 1):
            p = start[w, path[0]]
            for t in range(T):
                p *= move[t][path[t], path[t + 1]] * likelihood[t, w, path[t + 1]]
            total[w, path[-1]] += p
    return total / total.sum()


def forward_posterior(start, move, likelihood):
    """The same step by step, predict and update: the belief after each step, [T, W, S]."""
    W, S = start.shape
    belief, out = start, []
    for A, like in zip(move, likelihood, strict=True):
        predicted = np.zeros((W, S))
        for w in range(W):
            for z in range(S):
                predicted[w, z] = sum(A[s, z] * belief[w, s] for s in range(S))
        updated = like * predicted
        belief = updated / updated.sum()
        out.append(belief)
    return np.array(out)


def normal_density(x, mean, deviation):
    """Π_i N(x_i; mean_i, deviation²)."""
    x, mean = np.ravel(x), np.ravel(mean)
    density = 1.0
    for i in range(len(x)):
        z = (x[i] - mean[i]) / deviation
        density *= np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi * deviation**2)
    return density


def part_likelihood(x, templates, chances, deviation):
    """p(x | s) = Σ_k chances[k] N(x; templates[k], σ²): a part of a face or voice at some place."""
    return sum(
        chance * normal_density(x, template, deviation)
        for chance, template in zip(chances, templates, strict=True)
    )


def best_state_accuracy(joint):
    """Σ_o max_s p(s, o): the best that any answer to o can do. joint [O, S]."""
    return sum(max(row) for row in joint)


def causal_steps_mask(K, T):
    """Token (k, t) sees (j, s) iff s ≤ t: bool [K T, K T]."""
    mask = np.zeros((K * T, K * T), bool)
    for k, t, j, s in itertools.product(range(K), range(T), range(K), range(T)):
        mask[k * T + t, j * T + s] = s <= t
    return mask


def exercise_values(horizon, gain, transition):
    """Q_h(s, a) = g(s, a) + Σ_z A[a, s, z] max_b Q_{h−1}(z, b), by recursion: [S, A]."""
    S, A = gain.shape
    q = np.array(gain, float)
    if horizon > 1:
        after = exercise_values(horizon - 1, gain, transition)
        for s in range(S):
            for a in range(A):
                for z in range(S):
                    q[s, a] += transition[a, s, z] * max(after[z])
    return q


def equalised_odds_gap(said, truth, groups, classes):
    """max_{s, z} |p(said z | truth s, group 0) − p(said z | truth s, group 1)| by counting."""
    worst = 0.0
    for s in range(classes):
        for z in range(classes):
            rates = []
            for g in (0, 1):
                here = [
                    (said[n, t], truth[n, t])
                    for n in range(len(said))
                    for t in range(said.shape[1])
                    if groups[n] == g and truth[n, t] == s
                ]
                rates.append(sum(a == z for a, _ in here) / len(here) if here else np.nan)
            if not np.isnan(rates).any():
                worst = max(worst, abs(rates[0] - rates[1]))
    return worst


def variance_of_mean(variance, correlation, n, T):
    """Var of the mean over n persons of T answers each: σ² / (n T) · (1 + (T − 1) ρ)."""
    return variance / (n * T) * (1 + (T - 1) * correlation)


def probe_weights(x, labels, classes, ridge):
    """argmin_W mean_n |(x_n − x̄) W − (y_n − ȳ)|² + λ s |W|², one class after the other: [E, C]."""
    x = np.asarray(x, float)
    N, E = x.shape
    inside = x - x.mean(axis=0)
    scale = (inside**2).mean(axis=0).mean()
    weights = np.zeros((E, classes))
    for c in range(classes):
        y = (np.asarray(labels) == c).astype(float)
        # Least squares with the ridge as further rows of data.
        rows = np.concatenate([inside / np.sqrt(N), np.sqrt(ridge * scale) * np.eye(E)])
        wanted = np.concatenate([(y - y.mean()) / np.sqrt(N), np.zeros(E)])
        weights[:, c] = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return weights
