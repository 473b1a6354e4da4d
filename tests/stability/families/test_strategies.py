import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import strategies


@given(matrix=st.integers(1, 4).flatmap(strategies.spd_matrices))
def test_spd_matrices_have_the_eigenvalues_they_promise(matrix):
    assert (matrix == matrix.T).all()
    values = np.linalg.eigvalsh(matrix.numpy())
    assert values.min() >= 0.3 - 1e-12
    assert values.max() <= 3 + 1e-12


EVERY = st.one_of(
    strategies.gaussians(),
    strategies.full_gaussians(),
    strategies.natural_gaussians(),
    strategies.gaussian_means(),
    strategies.gammas(),
    strategies.student_ts(),
    strategies.mixtures(),
    strategies.free_sd_mixtures(),
    strategies.curved_normals(),
    strategies.sinh_arcsinhs(),
    strategies.logistics(),
    strategies.generalised_logistics(),
    strategies.ppcas(),
    strategies.linear_logits(),
    strategies.linkages(),
)


@given(member=EVERY)
def test_members_lie_in_their_domain(member):
    family, theta = member
    assert family.in_domain(theta)
