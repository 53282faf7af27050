"""Many checkpoints: a plan of jobs, run on one machine or placed on several, that can be killed and repeated."""
