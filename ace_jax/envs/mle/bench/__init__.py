"""MLE-bench's competitions, as `mlebench prepare` leaves them on disk.

  directory     which directories those are, and where
  competitions  what we know of 26 of them: columns, metric, file names
  definition    one directory: its grader, answers and leaderboard
  scoring       our own graders, for those without mlebench
  grading       a submission's Grade; runs in the grader's process only
  preview       what a prompt shows of the public files
"""
