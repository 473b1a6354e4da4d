"""Laws, expectations and positive semi-definite matrices, shared by theory and distances."""
