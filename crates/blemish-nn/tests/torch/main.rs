//! Layers, losses and optimisers of PyTorch, whose results and gradients `golden/make_torch.py` stored, computed by those here.

mod golden;
mod layers;
mod losses;
mod optimisers;
