"""Results of this project beyond the paper, S1 to S9: statement, proof, and what is new.

`$…$` is LaTeX. The claims that check a result name it in their source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["OWN_RESULTS", "OwnResult"]


@dataclass(frozen=True)
class OwnResult:
    """One result.

    Attributes:
        title: In a few words.
        statement: What holds, and under which assumptions.
        proof: Why.
        known: What others have, with references.
        new: What is new to our knowledge.
        page: Page of the documentation that has more, in docs/theory.
    """

    title: str
    statement: str
    proof: str
    known: str
    new: str
    page: str


OWN_RESULTS: Mapping[str, OwnResult] = MappingProxyType(
    {
        "S1": OwnResult(
            "Every finite λ is locally stable",
            r"Let $A=\mathbb E_{\mathrm{data}}\nabla^2\log p_{\theta^\star}\prec0$ and "
            r"$B=\mathbb E_{p_{\theta^\star}}\nabla^2\log p_{\theta^\star}=-F\preceq0$. Then "
            r"$\mathcal J=\lambda(A+\lambda B)^{-1}B$ has the eigenvalues "
            r"$\lambda\mu/(1+\lambda\mu)\in[0,1)$, $\mu\ge0$ those of the pair $(-B,-A)$, and one "
            r"retraining contracts the norm of $-A-\lambda B$ by $\rho=\lambda\mu_{\max}/(1+"
            r"\lambda\mu_{\max})<1$, for every $0\le\lambda<\infty$.",
            r"Take $W$ with $W^\top(-A)W=I$ and $W^\top(-B)W=\mathrm{diag}(\mu)$; this exists "
            r"since "
            r"$-A\succ0$, and $\mu\ge0$ since $-B\succeq0$. Then $W^{-1}\mathcal JW=\mathrm{diag}"
            r"(\lambda\mu/(1+\lambda\mu))$, and $W^\top(-A-\lambda "
            r"B)W=I+\lambda\,\mathrm{diag}(\mu)"
            r"$ is diagonal, too.",
            "Theorem 1 of the paper, under a smallness condition on λ; Ferbach et al. "
            "(arXiv:2407.09499) for the retraining operator on densities.",
            "no condition on λ, for any family with exact likelihoods, with the rate and the norm.",
            "local-stability.md",
        ),
        "S2": OwnResult(
            "In an exponential family the rate is λ/(1 + λ)",
            r"In an exponential family, in any smooth coordinates and for any data, $A=B$ at "
            r"$\theta^\star$ and $\mathcal J$ is similar to $\frac{\lambda}{1+\lambda}I$.",
            r"In natural coordinates $\nabla^2\log p_\theta(x)=-\nabla^2\psi(\theta)$ does not "
            r"depend "
            r"on $x$, so $A=B$. At a maximum a change of coordinates $h$ takes $A$ and $B$ to "
            r"$h'^\top Ah'$ and $h'^\top Bh'$, and $\mathcal J$ to $h'^{-1}\mathcal Jh'$.",
            "the Gaussian case, in the paper's appendix.",
            "the rate does not depend on the data, misspecified or not.",
            "local-stability.md",
        ),
        "S3": OwnResult(
            "Fixed real data: the price of retraining is at most a half",
            r"To first order in $1/n$ the iterates scatter about the fit to the $n$ real points "
            r"with "
            r"$V=\mathcal JV\mathcal J^\top+\frac\lambda nKFK$, $K=(A+\lambda B)^{-1}$. In a "
            r"well-specified model the total error is $\frac{1+3\lambda}{1+2\lambda}<\frac32$ "
            r"times "
            r"the Cramér–Rao bound, at every $\lambda$.",
            r"To first order $\theta_{t+1}-\hat\theta=\mathcal J(\theta_t-\hat\theta)+K\xi_t$ "
            r"with $\mathrm{Cov}\,"
            r"\xi_t=\frac\lambda nF$, since $(I-\mathcal J)^{-1}K=A^{-1}$ puts the mean at the "
            r"fit. "
            r"For $A=B=-F$ the equation is scalar: $V(1-c^2)=\frac{\lambda}{(1+\lambda)^2}\frac"
            r"{F^{-1}}{n}$ with $c=\frac{\lambda}{1+\lambda}$.",
            "that the error stays bounded with real data in the mix (the paper; Gerstgrasser et "
            "al., arXiv:2404.01413; Garg et al., arXiv:2509.22341, with fixed real data).",
            "the covariance in closed form, the constant 3/2, and the case A ≠ B.",
            "stationary-error.md",
        ),
        "S4": OwnResult(
            "The price of other regimes",
            r"Over the Cramér–Rao bound of one fit, fresh real data each round give "
            r"$\frac{1+\lambda}"
            r"{1+2\lambda}$, accumulating $1+\lambda\sum_{k\le t}(1+\lambda k)^{-2}$ (at "
            r"$\lambda=1$: "
            r"$\sum_{k\le t+1}k^{-2}\to\frac{\pi^2}6$), and synthetic data alone $t+1$.",
            r"Each regime is a linear recursion of means. Fresh data: "
            r"$v\leftarrow\frac1{(1+\lambda)^2}"
            r"+c^2v+\frac\lambda{(1+\lambda)^2}$. Accumulating: the mean of all points is a "
            r"martingale whose $k$-th step has variance $\lambda/(1+\lambda k)^2$. Replacing: a "
            "random walk.",
            "accumulating at λ = 1 (Gerstgrasser et al., arXiv:2404.01413; Dey–Donoho, "
            "arXiv:2410.22812); random walks.",
            "fresh real data, and accumulating at any λ, in one normalisation.",
            "stationary-error.md",
        ),
        "S5": OwnResult(
            "How a Gaussian collapses",
            r"Almost surely $\frac1t\log$ of the $i$-th largest eigenvalue of $\sqrt{\Sigma_t}$ "
            r"tends "
            r"to $\gamma_i=\frac12\left[\psi\left(\frac{n-i}2\right)+\log\frac2{n-1}\right]<0$: "
            r"the "
            r"model collapses dimension by dimension. $\mathbb E\log\det\Sigma_t$ falls by "
            r"$-2\sum\gamma_i$ a round, exactly, and $\mathbb E\sqrt{\Sigma_t}$ halves every "
            r"$-\log2/\log\alpha(n)$ rounds.",
            r"By Bartlett $\Sigma_{t+1}=L_tA_tA_t^\top L_t^\top/(n-1)$ with independent "
            r"$\chi_{n-i}$ on the diagonal of $A_t$, so $\log\det$ is a random walk with mean step "
            r"$\sum_i\mathbb E\log\chi^2_{n-i}-d\log(n-1)=2\sum\gamma_i$. The same for the "
            r"volume of "
            r"every $k$ fixed directions gives $\gamma_1+\dots+\gamma_k$, by Newman's theorem on "
            "products of rotation-invariant matrices.",
            "collapse almost surely (Shumailov et al., Alemohammad et al.); exponents of "
            "products of "
            "Gaussian matrices (Newman, 1986).",
            "the exponents of this loop, and that the dimensions collapse one after the other.",
            "gaussian-collapse.md",
        ),
        "S6": OwnResult(
            "Fine-tuning a part of the way",
            r"A learner that moves only a part of the way, "
            r"$\theta_{t+1}=\theta_t+(1-c)(G(\theta_t)-"
            r"\theta_t)$, $0\le c<1$, has the same fixed point and the Jacobian "
            r"$cI+(1-c)\mathcal J$: "
            "slower, and stable.",
            r"The eigenvalues are $c+(1-c)\frac{\lambda\mu}{1+\lambda\mu}\in[0,1)$. A "
            r"preconditioned "
            r"gradient step $I-\eta P(-A)$ with $P\succ0$ is stable for small $\eta$; a general "
            r"matrix "
            r"for $c$ need not be.",
            "convergence of damped fixed-point iterations.",
            "its use for retraining, and the example that a general matrix is unstable.",
            "local-stability.md",
        ),
        "S7": OwnResult(
            "Shared latents do not average out",
            r"If every round maps the same latents through the present model, the error of a "
            r"Gaussian "
            r"mean over Cramér–Rao is $1+\lambda(1-c^t)^2\to1+\lambda$, "
            r"$c=\frac\lambda{1+\lambda}$; "
            "in the fully synthetic loop the scale is multiplied by the same factor each round, so "
            "it vanishes or explodes geometrically.",
            r"The kick $\frac{\lambda\bar z}{1+\lambda}$ is the same each round: it sums to "
            r"$\lambda"
            r"\bar z(1-c^t)$, and $\mathrm{Var}\,\bar z=\frac{\sigma^2}{\lambda n}$. In the "
            r"other loop "
            r"$\sigma_{t+1}=\sigma_t\,\mathrm{sd}(z)$ with the same $z$.",
            "samplers with fixed seeds are common practice.",
            "that they change the loop: twice the error at λ = 1.",
            "stationary-error.md",
        ),
        "S8": OwnResult(
            "Learners that are not likelihoods",
            r"For a loss $\ell$ with $M=\nabla^2_{\theta\theta'}\mathbb "
            r"E_{p_\theta}[-\ell_{\theta'}]$ "
            r"the Jacobian is $-\lambda(A+\lambda B)^{-1}M$; $M$ need not be $-B$, "
            r"$\theta^\star$ need "
            r"not be a fixed point, and a finite critical $\lambda$ can exist.",
            r"Differentiate $\nabla_{\theta'}[H_1+\lambda H_2(\theta,\cdot)]=0$. For a likelihood "
            r"$M=F=-B$ by the information identity, which uses that the model samples from the law "
            "whose likelihood it maximises. A Gaussian sampled at temperature $\\tau^2>1$ is "
            "unstable "
            r"beyond $\lambda=1/(\tau^2-1)$.",
            "that sampling bias accumulates (Alemohammad et al.; Bertrand et al., curated data).",
            "the critical λ of a tempered sampler in closed form.",
            "local-stability.md",
        ),
        "S9": OwnResult(
            "The width map: with a perfect learner the sampler decides",
            r"For a perfect learner of $N(0,v_0)$ a sampler turns variance $v$ into "
            r"$\varphi(v)$, in "
            r"closed form, and the loop is "
            r"$v\leftarrow\frac{v_0+\lambda\varphi(v)}{1+\lambda}$. It is "
            r"stable where it settles; $\varphi(v)=O(v^2)$ at 0 without noise on the path, so "
            r"narrow "
            "modes collapse; some samplers have a second stable width beyond a finite λ.",
            r"Every step is linear in $x$ with the exact denoiser, so variances multiply: "
            r"$\varphi$ is "
            r"a product. $\varphi$ increases, hence the orbit from $v_0$ is monotone and ends "
            r"at the "
            r"next fixed point on its side, where the slope is at most 1.",
            "that discretisation biases samples; variance exploding and shrinking in practice.",
            "the map, its fixed points and folds for the samplers in use.",
            "width-map.md",
        ),
    }
)
"""Id -> result."""
