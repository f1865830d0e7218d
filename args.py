"""Settings of BertSim, BertClassifier and BertVector, read when one of them is made.

Change them here, or on the imported module; arguments and flags win over them.
"""

import os

file_path = os.path.dirname(os.path.abspath(__file__))

# Folder of a fine-tuned sentence-pair classifier (an output_dir of run_classifier.py).  Its own
# config and vocabulary win over the two files named below.
model_dir = os.path.join(file_path, "albert_lcqmc_checkpoints/")
output_dir = model_dir
config_name = os.path.join(file_path, "albert_config/albert_config_tiny.json")
vocab_file = os.path.join(file_path, "albert_config/vocab.txt")

# Tokens of a text or pair at most.  None: as in the model's training, and 128 where its folder does
# not tell; a number here counts for all models.
max_seq_len = None
batch_size = 128  # texts or pairs computed at a time
precision = "float32"  # or "bfloat16", "int8": faster where the processor has them
threads = None  # None: all cores

# Sentence vectors (extract_features.py): layers, as Python counts them, and how the tokens' vectors
# become one: "cls", "mean" or "max".
layer_indexes = [-2]
pooling = "mean"

# Names that old programs set; nothing uses them.
gpu_memory_fraction = 0.8
ckpt_name = os.path.join(model_dir, "model.ckpt")
data_dir = os.path.join(file_path, "data/")
graph_file = os.path.join(model_dir, "graph")
num_train_epochs = 10
learning_rate = 0.00005
