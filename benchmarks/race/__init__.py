"""SASRec here and in the host libraries: training in turns, one judge, quality against seconds.

``benchmarks/host_libraries.py`` is the command. Each contender trains in a process of its own, in
the environment of its library:

* ``contenders``: who takes part, and with which options.
* ``turns``, ``job``: what a contender's process needs. They import numpy only.
* ``train_ours``, ``train_rectools``, ``train_replay``: the processes.
* ``worker``, ``course``: start the processes and give them their turns.
* ``judge``: the one evaluator of all contenders.
* ``curves``, ``record``, ``tables_of_race``, ``picture``: what came out.
"""
