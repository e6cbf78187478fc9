"""Learners and their sessions: shapes, what is random and what is not, and clear errors."""

import dataclasses

import numpy as np
import pytest

from mmjax.data import learners as world
from mmjax.data.learners import bayes, signals, tokens
from mmjax.data.learners import world as tables


@pytest.fixture(scope="module")
def sessions():
    return world.run_sessions(world.draw_learners(7, seed=1, rare_share=0.4), 5, seed=2)


def test_shapes_and_types(sessions):
    assert sessions.faces.shape == (7, 5, 16, 16) and sessions.voices.shape == (7, 5, 8, 12)
    assert sessions.words.shape == (7, 5, 2) and sessions.correct.dtype == bool
    assert sessions.faces.dtype == sessions.voices.dtype == np.float32
    assert sessions.states.shape == sessions.exercises.shape == sessions.gains.shape == (7, 5)
    assert sessions.states.max() < 4 and sessions.exercises.max() < 3


def test_every_table_is_one_of_probabilities():
    rows = [tables.START, tables.WORD, tables.TRANSITION, *tables.POSITION.values()]
    for table in rows:
        np.testing.assert_allclose(table.sum(axis=-1), 1, atol=1e-12)
        assert (table >= 0).all()
    assert ((tables.CORRECT > 0) & (tables.CORRECT < 1)).all() and (tables.GAIN >= 0).all()


def test_the_same_seed_gives_the_same_session_and_another_another(sessions):
    people = world.draw_learners(7, seed=1, rare_share=0.4)
    again, other = (world.run_sessions(people, 5, seed=s) for s in (2, 3))
    for name in ("states", "exercises", "faces", "voices", "words"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sessions, name))
        assert not np.array_equal(getattr(other, name), getattr(sessions, name))


def test_a_learner_keeps_the_hair_and_confusion_is_shown_by_group():
    people = world.draw_learners(400, seed=0, rare_share=0.5)
    many = world.run_sessions(people, 4, seed=1)
    hair = many.faces[:, :, signals.HAIR].mean(axis=1) - people.look
    assert abs(hair.std() - tables.FACE_NOISE / 2) < 0.01 and abs(hair.mean()) < 0.01
    corners = many.faces[:, :, 11:13, [4, 11]].mean(axis=(2, 3))  # dark where the mouth smiles
    smile = np.array([[corners[(many.states == s) & (people.group == g)[:, None]].mean()
                       for s in range(4)] for g in (0, 1)])  # fmt: skip
    assert smile[0, 0] - smile[1, 0] > 0.15
    assert np.abs(smile[0, 1:] - smile[1, 1:]).max() < 0.05
    assert abs(people.group.mean() - 0.5) < 0.1


def test_a_policy_sees_the_past_only_and_its_choice_is_carried_out():
    seen = []

    def choose(t, past):
        seen.append(None if past is None else past.states.shape)
        return np.array([t % 3, 2, 0])

    made = world.run_sessions(world.draw_learners(3, seed=0), 4, seed=0, choose=choose)
    assert seen == [None, (3, 1), (3, 2), (3, 3)]
    np.testing.assert_array_equal(made.exercises[:, 1], [1, 2, 0])
    np.testing.assert_array_equal(made.gains[:, 0], tables.GAIN[made.before, [0, 2, 0]])
    np.testing.assert_array_equal(made.gains[:, 2], tables.GAIN[made.states[:, 1], [2, 2, 0]])


def test_the_first_steps_are_cut_and_their_belief_stays(sessions):
    belief = world.filter_sessions(sessions)
    cut = world.filter_sessions(sessions.first(3))
    np.testing.assert_allclose(cut, belief[:, :3], rtol=1e-12)


def test_a_modality_that_is_not_read_has_no_influence(sessions):
    other = dataclasses.replace(sessions, voices=sessions.voices + 5)
    for reads in (("face",), ("text", "face"), ()):
        np.testing.assert_array_equal(
            world.filter_sessions(sessions, reads), world.filter_sessions(other, reads)
        )
    assert not np.array_equal(world.filter_sessions(sessions), world.filter_sessions(other))


def test_tokens_hold_the_signals_and_the_exercise(sessions):
    made = world.step_tokens(sessions)
    assert {k: v.shape for k, v in made.items()} == {
        k: (7, 5, tokens.FEATURES[k]) for k in world.MODALITIES
    }
    np.testing.assert_array_equal(made["face"][..., :256], sessions.faces.reshape(7, 5, 256))
    np.testing.assert_array_equal(made["voice"][3, 2, :96], sessions.voices[3, 2].ravel())
    for name in world.MODALITIES:
        np.testing.assert_array_equal(made[name][..., -3:].argmax(-1), sessions.exercises)
    text = made["text"][4, 1]
    assert text[0] == sessions.correct[4, 1] and text[1:11].sum() == 2
    assert all(text[1 + w] >= 1 for w in sessions.words[4, 1])
    assert {v.dtype for v in made.values()} == {np.dtype("float32")}


def test_an_answer_can_be_read():
    assert world.answer_text(True, np.array([5, 3])) == "right: got, so"


def test_draw_has_the_chances_of_its_rows():
    rng = np.random.default_rng(0)
    chances = np.tile([[0.2, 0.0, 0.8], [1.0, 0.0, 0.0]], (20_000, 1))
    drawn = signals.draw(rng, chances).reshape(-1, 2)
    assert (drawn[:, 1] == 0).all() and not (drawn[:, 0] == 1).any()
    assert abs((drawn[:, 0] == 2).mean() - 0.8) < 0.015


BELIEF = np.full((2, 4), 0.25)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: world.draw_learners(0, seed=0), ValueError, "'number': expected at least 1"),
        (
            lambda s: world.draw_learners(2, seed=0, rare_share=1.5),
            ValueError,
            "'rare_share': expected from 0 to 1, got 1.5",
        ),
        (lambda s: world.run_sessions(s.learners, 0, seed=0), ValueError, "'steps': expected at"),
        (
            lambda s: world.run_sessions(s.learners, 2, seed=0, choose=lambda t, p: np.zeros(7)),
            TypeError,
            "'choose': expected to return whole numbers",
        ),
        (
            lambda s: world.run_sessions(
                s.learners, 2, seed=0, choose=lambda t, p: np.zeros(6, int)
            ),
            ValueError,
            "'choose': expected to return \\[7\\]",
        ),
        (
            lambda s: world.run_sessions(s.learners, 2, seed=0, choose=lambda t, p: np.full(7, 3)),
            ValueError,
            "'choose': expected to return numbers from 0 to 2",
        ),
        (lambda s: bayes.log_likelihoods(s, ("smell",)), ValueError, "'reads': expected one of"),
        (lambda s: world.step_tokens(s, ("smell",)), ValueError, "'reads': expected one of"),
        (lambda s: world.exercise_values(0), ValueError, "'horizon': expected at least 1"),
        (
            lambda s: world.exercise_values(2, np.zeros((4, 2))),
            ValueError,
            "'transition': expected \\(2, 4, 4\\)",
        ),
        (
            lambda s: world.choose_exercise(BELIEF, np.zeros((3, 3))),
            ValueError,
            "'belief': expected \\[N, 3\\]",
        ),
        (
            lambda s: world.choose_exercise(2 * BELIEF, tables.GAIN),
            ValueError,
            "'belief': expected rows",
        ),
    ],
)
def test_bad_input_raises_one_clear_error(sessions, call, error, message):
    with pytest.raises(error, match=message):
        call(sessions)
