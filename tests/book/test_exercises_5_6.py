"""The exercises of section 5.6: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_step", 2: "my_steps_mask", 3: "my_choice", 4: "my_odds_gap"}


@pytest.fixture
def notebook(exercises):
    return exercises("5_6_education", "section_5_6")


def test_blanks_are_not_solved_and_solutions_are_correct(notebook):
    for number, name in NAMES.items():
        assert notebook.verdict(number) == "not solved yet."
        assert notebook.verdict(number, **{name: getattr(notebook.solutions, name)}) == "correct."


def test_common_mistakes_get_a_hint(notebook):
    def normalised(x):
        return x / x.sum()

    def one_gain(belief, h, gain, transition):  # looks at the next gain only
        return (belief @ gain).argmax(axis=1)

    def most_probable_state(belief, h, gain, transition):  # decides on the state first
        q = gain
        for _ in range(h - 1):
            q = gain + np.einsum("ast,t->sa", transition, q.max(axis=1))
        return q[belief.argmax(axis=1)].argmax(axis=1)

    def averaged(belief, h, gain, transition):  # a mean over exercises in place of the best one
        q = gain
        for _ in range(h - 1):
            q = gain + np.einsum("ast,t->sa", transition, q.mean(axis=1))
        return (belief @ q).argmax(axis=1)

    def parity(said, truth, groups, classes):  # forgets the true state: demographic parity
        shares = [np.bincount(said[groups == g].ravel(), minlength=classes) for g in (0, 1)]
        return np.abs(normalised(shares[0]) - normalised(shares[1])).max()

    def of_all(said, truth, groups, classes):  # divides by all steps of the group
        worst = 0.0
        for s in range(classes):
            for z in range(classes):
                rates = [((said == z) & (truth == s))[groups == g].mean() for g in (0, 1)]
                worst = max(worst, abs(rates[0] - rates[1]))
        return worst

    mistakes = [
        (1, lambda b, A, like: like * (b @ A)),  # not normalised
        (1, lambda b, A, like: normalised(like * (A @ b))),  # from and to exchanged
        (1, lambda b, A, like: normalised((b * like) @ A)),  # weighs, then moves
        (1, lambda b, A, like: normalised(like * b)),  # does not move
        (2, lambda K, T: np.tri(K * T, dtype=bool)),  # causal over tokens
        (2, lambda K, T: np.kron(np.eye(K), np.tri(T)).astype(bool)),  # modalities apart
        (2, lambda K, T: np.tile(np.tri(T, k=-1, dtype=bool), (K, K))),  # not its own step
        (3, one_gain),
        (3, most_probable_state),
        (3, averaged),
        (4, parity),
        (4, of_all),
    ]
    for number, wrong in mistakes:
        notebook.namespace |= dict.fromkeys(NAMES.values())
        line = notebook.verdict(number, **{NAMES[number]: wrong})
        assert line.startswith("not yet right: ") and "Hint: " in line, (number, line)
