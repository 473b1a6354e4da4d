"""EDM, DDPM and OT-CFM: losses and samplers, for a network that is handed to them."""
