"""What multimodal Transformers cost, and what their attention maps say (section 3.3)."""

import numpy as np


def multimodal_weights(kind, lengths, Z=0):
    """Attention weights of one head in one layer, counted one by one: int.

    kind: "single-stream", "dual-stream" or "bottleneck" with Z shared tokens; lengths [K].
    """
    T, count = sum(lengths), 0
    for t in lengths:
        for _ in range(t):  # every token asks
            if kind == "single-stream":
                count += T
            elif kind == "dual-stream":
                count += t + (T - t)  # its own modality, then all others
            else:
                count += t + Z
        if kind == "bottleneck":
            count += Z * (t + Z)  # and so do the shared tokens, in the block of every modality
    return count


def multimodal_operations(kind, lengths, L, M, F, E, Z=0):
    """Operations of all matrix products for one example, beside the inputs; lengths [K]."""

    def block(t):
        return 8 * t * M * M + 4 * t * t * M + 4 * t * M * F

    K, T = len(lengths), sum(lengths)
    if kind == "single-stream":
        return L * block(T) + 2 * M * E
    if kind == "bottleneck":
        return L * sum(block(t + Z) for t in lengths) + 2 * K * M * E
    total = 2 * K * M * E
    for t in lengths:
        across = 4 * t * M * M + 4 * (T - t) * M * M + 4 * t * (T - t) * M
        total += L * (block(t) + across)
    return total


def multimodal_parameters(kind, lengths, L, M, F, E, Z=0):
    """Parameters beside the maps and positions of the inputs; lengths [K]."""
    K, norm = len(lengths), 2 * M
    attention, mlp = 4 * M * M + 4 * M, 2 * M * F + F + M
    block = attention + mlp + 2 * norm
    if kind == "single-stream":
        return K * M + L * block + norm + M * E
    if kind == "bottleneck":
        return Z * M + K * (L * block + norm + M * E)
    return K * (L * (block + attention + norm) + norm + M * E)


def through_bottleneck(to_shared, of_shared, present):
    """P̂[t, s] = Σ_z mean_h P'[h, t, z] · mean_h P[h, z, s] / present for one example.

    to_shared P' [H, T, Z] of a layer, of_shared P [H, Z, S] of the layer before it.
    """
    H, T, Z = to_shared.shape
    S = of_shared.shape[2]
    out = np.zeros((T, S))
    for t in range(T):
        for s in range(S):
            for z in range(Z):
                there = sum(to_shared[h, t, z] for h in range(H)) / H
                back = sum(of_shared[h, z, s] for h in range(H)) / H
                out[t, s] += there * back / present
    return out


def asked_attribute(tables, motion):
    """p(attribute of the object that moves like this | signals), [values].

    tables [lanes, motions, values]: for each lane p(signals | motion, value of the attribute) up to
    a constant of the lane. The lanes hold objects of different motions, every assignment of motions
    to lanes is equally likely, and the values are uniform.
    """
    lanes, motions, values = tables.shape
    chance = np.zeros(values)
    for code in range(motions**lanes):
        given = [(code // motions**lane) % motions for lane in range(lanes)]
        if len(set(given)) < lanes or motion not in given:
            continue
        for state in range(values**lanes):
            said = [(state // values**lane) % values for lane in range(lanes)]
            likelihood = 1.0
            for lane in range(lanes):
                likelihood *= tables[lane, given[lane], said[lane]]
            chance[said[given.index(motion)]] += likelihood
    return chance / chance.sum()
