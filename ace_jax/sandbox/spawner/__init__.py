"""The process that runs untrusted programs, apart from the one with JAX.

It is started with the runtime's own interpreter, where this directory is a
top-level package: nothing here may import `ace_jax`, or anything that the
runtime lacks.

  main      the spawner: one guard per run, restarted together with it
  template  the warmed interpreter that every program is a fork of
  guard     one run: prepare, hand over, watch, kill, harvest, reply
  tree      L3: the namespaces and the file tree that a program sees
  confine   what a program gives up before its first line, at every level
  program   runs the source as `__main__`
  meters    CPU time and memory of a run, by cgroup or by /proc
  linux, seccomp, landlock, cgroups, wire: the kernel's side and the framing
"""
