"""Golden values of transformers' BertModel on seeded random weights: writes bert.safetensors beside this file.

Made with transformers 5.24, torch 2.15.
"""

from pathlib import Path

import torch
from golden import seed, write
from transformers import BertConfig, BertModel

torch.set_num_threads(1)
config = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=20,
)
model = seed(BertModel(config, add_pooling_layer=False), 30)
generator = torch.Generator().manual_seed(31)
tokens = torch.randint(0, 50, (1, 9), generator=generator)
kinds = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]])
places = torch.tensor([[0, 0, 1, 2, 0, 1, 2, 3, 0]])
keys = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 1, 0]])
seen = torch.block_diag(torch.ones(1, 1), torch.ones(3, 3), torch.ones(4, 4), torch.ones(1, 1))
out = {"tokens": tokens[0], "kinds": kinds[0], "places": places[0], "keys": keys[0], "seen": seen}
with torch.no_grad():
    out["plain"] = model(tokens).last_hidden_state[0]
    out["padded"] = model(tokens, attention_mask=keys, token_type_ids=kinds, position_ids=places).last_hidden_state[0]
    masked = model(tokens, attention_mask=seen[None, None].bool(), token_type_ids=kinds, position_ids=places)
    out["masked"] = masked.last_hidden_state[0]
print({name: value.abs().max().item() for name, value in out.items()})
write(Path(__file__).parent / "bert.safetensors", model.state_dict(), out)
