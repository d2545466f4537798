"""JOINT LOSS: the trainer, its options, and the beliefs that weigh its loss.

| module | holds |
|---|---|
| ``config``, ``recipes`` | options and named sets of options; import no torch |
| ``beliefs``, ``belief_sources`` | how clean each interaction is; the four sources |
| ``joint_models`` | recommender and beliefs, in use: ranks, recommendations, weights, loading |
| ``trainer``, ``state`` | steps and epochs; optimizers, schedule, best epoch, checkpoints |
| ``objectives``, ``step_weights``, ``batch_pairs`` | loss, weights and batches of a step |
| ``joint_loss``, ``host_batches`` | the joint loss for training loops of other libraries |
| ``history``, ``progress``, ``tensorboard_log``, ``trouble`` | records, progress, errors |
"""
