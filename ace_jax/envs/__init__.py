"""Where a program is judged: tasks, prompts, programs, rewards."""
