"""TRL's half of `bench_step.py`: one GRPO step each time it is asked.

Runs in TRL's own virtual environment and imports nothing of ace_jax. Each
line 'step' on standard input makes TRL's own GRPOTrainer do one whole step;
the answer on standard output is one JSON object with seconds. Waiting for the
line happens between two steps, so that the two halves of the benchmark take
turns on the same cores and neither runs beside the other.
"""

import argparse
import json
import sys
import tempfile
import time

import datasets
import torch
import transformers
import trl


class Turns(transformers.TrainerCallback):
  """Waits for 'step' before a step, answers with its times after it."""

  def __init__(self):
    self.trainer = None
    self.generation_s = 0.0

  def attach(self, trainer: trl.GRPOTrainer) -> None:
    """Times the trainer's generation apart from the rest of a step."""
    self.trainer = trainer
    generate = trainer._generate_and_score_completions

    def timed(inputs):
      start = time.perf_counter()
      output = generate(inputs)
      self.generation_s += time.perf_counter() - start
      mask = output['completion_mask']
      self.shape = [
          len(mask), output['prompt_ids'].shape[1], int(mask.sum(1).min())
      ]
      return output

    trainer._generate_and_score_completions = timed

  def on_step_begin(self, args, state, control, **kwargs):
    if sys.stdin.readline().strip() != 'step':
      sys.exit(0)
    self.generation_s = 0.0
    self.start = time.perf_counter()

  def on_step_end(self, args, state, control, **kwargs):
    total_s = time.perf_counter() - self.start
    print(json.dumps({
        'total_s': total_s,
        'generation_s': self.generation_s,
        'update_s': total_s - self.generation_s,
        'shape': self.shape,
    }), flush=True)


def prompt_of(tokenizer, num_tokens: int, seed: int) -> str:
  """A text of exactly `num_tokens` tokens, another one for each seed."""
  words = ['data', 'model', 'table', 'score', 'train', 'value', 'column']
  text = words[seed % len(words)]
  while len(tokenizer(text)['input_ids']) < num_tokens:
    text += ' ' + words[(len(text) + seed) % len(words)]
  length = len(tokenizer(text)['input_ids'])
  if length != num_tokens:
    raise ValueError(f'no prompt of {num_tokens} tokens, but one of {length}')
  return text


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--model', required=True)
  parser.add_argument('--num_prompts', type=int, required=True)
  parser.add_argument('--group_size', type=int, required=True)
  parser.add_argument('--prompt_tokens', type=int, required=True)
  parser.add_argument('--completion_tokens', type=int, required=True)
  parser.add_argument('--micro_batch', type=int, required=True)
  parser.add_argument('--threads', type=int, required=True)
  parser.add_argument('--lr', type=float, required=True)
  args = parser.parse_args()
  torch.set_num_threads(args.threads)
  transformers.utils.logging.set_verbosity_error()

  tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
  prompts = [
      {'prompt': prompt_of(tokenizer, args.prompt_tokens, seed)}
      for seed in range(args.num_prompts)
  ]
  batch = args.num_prompts * args.group_size
  turns = Turns()
  with tempfile.TemporaryDirectory() as output_dir:
    trainer = trl.GRPOTrainer(
        model=args.model,
        processing_class=tokenizer,
        # Half of a group is right, half is wrong: no advantage is zero.
        reward_funcs=lambda completions, **_: [
            float(i % 2) for i in range(len(completions))
        ],
        train_dataset=datasets.Dataset.from_list(prompts),
        callbacks=[turns],
        args=trl.GRPOConfig(
            output_dir=output_dir,
            use_cpu=True,
            bf16=False,
            model_init_kwargs={'dtype': 'float32'},
            gradient_checkpointing=False,
            beta=0.0,
            num_iterations=1,
            num_generations=args.group_size,
            per_device_train_batch_size=args.micro_batch,
            gradient_accumulation_steps=batch // args.micro_batch,
            max_completion_length=args.completion_tokens,
            generation_kwargs={'min_new_tokens': args.completion_tokens},
            temperature=1.0,
            learning_rate=args.lr,
            lr_scheduler_type='constant',
            max_grad_norm=1.0,
            max_steps=1_000_000,  # until told to stop
            save_strategy='no',
            logging_strategy='no',
            report_to='none',
            disable_tqdm=True,
        ),
    )
    turns.attach(trainer)
    print(json.dumps({'versions': {
        'trl': trl.__version__,
        'transformers': transformers.__version__,
        'torch': torch.__version__,
    }}), flush=True)
    trainer.train()


if __name__ == '__main__':
  main()
