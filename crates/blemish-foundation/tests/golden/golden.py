"""What the golden scripts share: seeded weights and files of weights, inputs and outputs."""

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig,
    SamVisionConfig, SwinConfig,
)


def seed(model, number):
    """Fills every parameter from a seed, in the order of names: matrices keep the size of values, norms stay near one.

    Values are those that half precision has, so that files are half as large.
    """
    generator = torch.Generator().manual_seed(number)
    norms = ("norm", "Norm", "input_proj_vision.0.1", "input_proj_vision.1.1", "input_proj_vision.2.1", "input_proj_vision.3.1")
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if name.endswith("weight") and any(norm in name for norm in norms) and parameter.dim() == 1:
                values = 1 + 0.2 * values
            elif parameter.dim() > 1 and "embed" not in name.rsplit(".", 1)[0].rsplit(".", 1)[-1]:
                values = values / (parameter[0].numel() ** 0.5)
            else:
                values = 0.3 * values
            parameter.copy_(values.half().float())
    return model.eval()


def write(path, weights, tensors):
    """Weights in half precision under `weights.`, everything else in single precision."""
    weights = {f"weights.{name}": value.half().contiguous() for name, value in weights.items()}
    tensors = {name: value.float().contiguous() for name, value in tensors.items()}
    save_file({**weights, **tensors}, path)


def tiny_sam():
    """The Segment Anything of the committed golden files."""
    vision = SamVisionConfig(
        hidden_size=16, output_channels=32, num_hidden_layers=3, num_attention_heads=2, image_size=96, patch_size=8, window_size=5,
        global_attn_indexes=[1], num_pos_feats=16, mlp_dim=24,
    )
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=96, patch_size=8, mask_input_channels=8)
    decoder = SamMaskDecoderConfig(hidden_size=32, mlp_dim=40, num_attention_heads=2, iou_head_hidden_dim=24)
    return seed(SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)), 20)


def tiny_grounding():
    """The Grounding DINO of the committed golden files."""
    swin = SwinConfig(
        image_size=64, patch_size=4, window_size=3, embed_dim=4, depths=[2, 2, 1, 1], num_heads=[1, 2, 2, 4], mlp_ratio=2.0,
        out_indices=[2, 3, 4],
    )
    bert = BertConfig(
        vocab_size=1032, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, max_position_embeddings=20,
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=2, encoder_ffn_dim=24, encoder_attention_heads=4,
        encoder_n_points=2, decoder_layers=2, decoder_ffn_dim=24, decoder_attention_heads=4, decoder_n_points=2, num_queries=12,
        max_text_len=16,
    )
    return seed(GroundingDinoForObjectDetection(config), 40)


def sam_pixels(image, side):
    """An image of values in [0, 1] as the network takes it, in single precision throughout, and its height and width there."""
    height, width = image.shape[-2:]
    scale = side / max(height, width)
    scaled = (int(height * scale + 0.5), int(width * scale + 0.5))
    resized = torch.nn.functional.interpolate(image[None], scaled, mode="bilinear", antialias=True)[0]
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    pixels = (255 * resized - mean[:, None, None]) / std[:, None, None]
    return torch.nn.functional.pad(pixels, (0, side - scaled[1], 0, side - scaled[0]))[None], scaled
