"""The files that diffusers writes of a network: its configuration, and its names of the tensors."""

from deep.networks.unet_ddpm import DDPMNetwork

TINY = DDPMNetwork(
    resolution=8,
    channels=1,
    model_channels=32,
    channel_mult=(1, 2),
    num_blocks=1,
    attn_resolutions=(4,),
    dropout=0.0,
)
CONFIG = {  # of google/ddpm-cifar10-32, but for what follows from the size of the network
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.0.4",
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [32, 64],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 1,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "out_channels": 1,
    "sample_size": 8,
    "time_embedding_type": "positional",
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}
# ddpm-torch's name -> that of diffusers, whose ascending blocks count from the lowest resolution
PLACES = {
    "embed.0": "time_embedding.linear_1",
    "embed.2": "time_embedding.linear_2",
    "in_conv": "conv_in",
    "downsamples.level_0.0": "down_blocks.0.resnets.0",
    "downsamples.level_0.1.1": "down_blocks.0.downsamplers.0.conv",
    "downsamples.level_1.0.0": "down_blocks.1.resnets.0",
    "downsamples.level_1.0.1": "down_blocks.1.attentions.0",
    "middle.0": "mid_block.resnets.0",
    "middle.1": "mid_block.attentions.0",
    "middle.2": "mid_block.resnets.1",
    "upsamples.level_0.0": "up_blocks.1.resnets.0",
    "upsamples.level_0.1": "up_blocks.1.resnets.1",
    "upsamples.level_1.0.0": "up_blocks.0.resnets.0",
    "upsamples.level_1.0.1": "up_blocks.0.attentions.0",
    "upsamples.level_1.1.0": "up_blocks.0.resnets.1",
    "upsamples.level_1.1.1": "up_blocks.0.attentions.1",
    "upsamples.level_1.2.1": "up_blocks.0.upsamplers.0.conv",
    "out_conv.0": "conv_norm_out",
    "out_conv.2": "conv_out",
}
LAYERS = {"fc": "time_emb_proj", "skip": "conv_shortcut", "norm": "group_norm"}
ATTENTION = [("to_q", "to_k", "to_v", "to_out.0"), ("query", "key", "value", "proj_attn")]


def diffusers_state(state, attention=ATTENTION[0]):
    """The tensors of a network of ddpm-torch as diffusers holds them: those of the attention as
    matrices.
    """
    theirs = {}
    for name, value in state.items():
        layer, kind = name.rsplit(".", 1)
        place = max((p for p in PLACES if layer == p or layer.startswith(f"{p}.")), key=len)
        inner = layer.removeprefix(place).removeprefix(".")
        if inner.startswith("project"):
            value = value[..., 0, 0] if value.dim() == 4 else value
            names = attention[:3] if inner == "project_in" else attention[3:]
            parts = value.chunk(len(names))
        else:
            names, parts = [LAYERS.get(inner, inner)], [value]
        for part_name, part in zip(names, parts, strict=True):
            theirs[".".join(filter(None, (PLACES[place], part_name, kind)))] = part.clone()
    return theirs
