"""Grading submitted notebooks, a file an idea; the command is tools/grade.py.

Reading:  cells (notebook files), submission (which cells of one answer which exercise).
Running:  exercises (our setup, blanks and checks), student (what answers them), process (the
          program that holds both), runner (starts it, stops it, reads what it reported).
Telling:  verdicts (their words), table (a line a file, and the table for a spreadsheet).
"""
