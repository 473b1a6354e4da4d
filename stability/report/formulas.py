"""The statements in formulas: LaTeX by the name of the module that checks them."""

import html
from collections.abc import Mapping
from types import MappingProxyType

import latex2mathml.converter

__all__ = ["FORMULAS", "typeset"]

FORMULAS: Mapping[str, str] = MappingProxyType(
    {
        "lemma_a1": r"\sigma_{t+1}=\frac{\chi_{n-1}}{\sqrt{n-1}}\,\sigma_t,\qquad "
        r"\mathbb{E}\,\sigma_t=\alpha(n)^t\,\sigma_0,\qquad "
        r"\alpha(n)=\frac{\mathbb{E}\,\chi_{n-1}}{\sqrt{n-1}}<1",
        "lemma_a2": r"\Sigma_{t+1}=\tfrac{1}{n-1}\sqrt{\Sigma_t}\,S\,\sqrt{\Sigma_t},\qquad "
        r"\mathbb{E}\sqrt{\Sigma_{t+1}}\preceq\alpha(n)\,\mathbb{E}\sqrt{\Sigma_t}",
        "proposition1": r"\mathbb{E}\sqrt{\Sigma_t}\preceq\alpha(n)^t\sqrt{\Sigma_0}\to 0,\qquad "
        r"\alpha(n)=\sqrt{\tfrac{2}{n-1}}\,\frac{\Gamma(n/2)}{\Gamma((n-1)/2)}",
        "proposition2": r"\mathbb{E}_{p_\theta}\nabla_\theta^2\log p_\theta\prec 0,\qquad "
        r"\|\nabla^2_\theta\log p_\theta(x)-\nabla^2_\theta\log p_\theta(y)\|\le\|x-y\|",
        "proposition3": r"\nabla^2_{\theta'}\left(H_1+\lambda H_2\right)\preceq"
        r"-\alpha(1+\lambda)I+\lambda\varepsilon LI,"
        r"\qquad A+\lambda B\prec 0\ \text{always}",
        "proposition4": r"\theta^\star=\mathcal{G}^\infty_\lambda(\theta^\star)",
        "lemma_e1": r"\mathcal{J}=\left(I+\lambda A^{-1}B\right)^{-1}\lambda A^{-1}B,\qquad "
        r"\|B-A\|_2\le L\,\varepsilon,\qquad \|A^{-1}B\|_2\le 1+\frac{L\varepsilon}{\alpha}",
        "theorem1": r"\lambda\left(1+\frac{L\varepsilon}{\alpha}\right)<\tfrac12\ \Rightarrow\ "
        r"\|\mathcal{J}\|_2\le"
        r"\frac{\lambda(\alpha+\varepsilon L)}{\alpha-\lambda(\alpha+\varepsilon L)}<1",
        "theorem1_sharp": r"\|\mathcal{J}\|_2\le"
        r"\max\left(\frac{q}{1+q},\ \frac{\lambda(k-1)}{1-\lambda(k-1)}\right),"
        r"\qquad k=\frac{L\varepsilon}{\alpha},\quad q=\lambda(1+k)",
        "local_stability": r"\rho(\mathcal{J})=\frac{\lambda\mu_{\max}}{1+\lambda\mu_{\max}}<1"
        r"\quad\text{for every}\ \lambda<\infty",
        "theorem2": r"\|\theta_t-\theta^\star\|\le"
        r"\left(\varepsilon_{\mathrm{OPT}}+\tfrac{a}{\sqrt n}\sqrt{\log\tfrac{bt}{\delta}}\right)"
        r"\sum_{l<t}\rho^l+\rho^t\|\theta_0-\theta^\star\|",
        "stationary_error": r"V=\mathcal{J}V\mathcal{J}^\top+\tfrac{\lambda}{n}KFK,\qquad "
        r"\frac{\text{error}}{\text{Cramér--Rao}}=\frac{1+3\lambda}{1+2\lambda}<\tfrac32",
        "sampler_bias": r"s^2_{t+1}=\frac{s_0^2+\lambda\,\varphi(s_t^2)}{1+\lambda}",
        "path_of_refits": r"\text{accumulate: }\sum_{k\le "
        r"t+1}\frac1{k^2}\to\frac{\pi^2}{6},\qquad\text{replace: }t+1",
        "weighted_real": r"f(w)=\frac{w^2+k(1-w)^2}{2w-w^2},\qquad "
        r"w^\star=\frac{\sqrt{k^2+4k}-k}{2}=f(w^\star)",
        "collapse_tail": r"\Pr(\sigma_t>e)\le\frac{\sigma_0}{e}\,\alpha(n)^t"
        r"\le\frac{\sigma_0}{e}\,e^{-t/(4n)}",
        "discrete_collapse": r"\mathbb{E}\sum_i "
        r"p_{i,t}^2=1-\left(1-\tfrac1n\right)^t\left(1-\sum_i "
        r"p_{i,0}^2\right)",
        "correction": r"\rho=\frac{\lambda\mu_{\max}}{(1+\lambda\mu_{\max})(1+\gamma)}",
        "bias_price": r"|f(\text{model}_t)-f(\text{real})|\le b_t\,\delta,\qquad "
        r"b_t=\sum_{k\le t}\left(\tfrac{\lambda}{1+\lambda}\right)^k\to 1+\lambda",
        "temperature_threshold": r"p\leftarrow\frac{q+\lambda\,p^{1/\tau}/Z}{1+\lambda},\qquad "
        r"\rho=\frac{\lambda}{(1+\lambda)\tau}<1\iff\lambda<\frac{\tau}{1-\tau}",
        "curation": r"p\leftarrow\frac{p_{\text{data}}+\lambda\,p\,H_K}{1+\lambda},\qquad "
        r"\frac{p_t}{p_{\text{data}}}\le\frac{1}{1-\lambda(K-1)}",
        "negative_extrapolation": r"\theta_w=\theta-w(\theta_{\text{self}}-\theta),\qquad "
        r"w^\star=\frac{1}{\varphi'(v)}",
        "early_stopping": r"p\leftarrow\text{OU}_{t_0}\left[\alpha\,p_{\text{data}}"
        r"+(1-\alpha)p\right],\qquad \frac{\alpha e^{-jt_0/2}}{1-(1-\alpha)e^{-jt_0/2}}",
        "score_errors": r"\left(\sum_m(1-\alpha)^m\delta_{N-1-m}\right)^2\le\chi^2(\hat p_N,p),"
        r"\qquad\sqrt{\chi^2(\hat p_N,p)}\le\sum_m(1-\alpha)^m\kappa_{N-1-m}",
        "regression": r"\text{replace: }(t+1)\frac{d}{T-d-1},\qquad\text{accumulate: }"
        r"\frac{d}{T-d-1}+\sum_{k\le t}\frac{d\,\lambda T}{N_k(N_k-d-1)},"
        r"\quad N_k=T(1+\lambda k)",
        "kernel_estimate": r"V\leftarrow\frac{v_0+\lambda(1+\kappa)V}{1+\lambda},\qquad "
        r"\kappa=N^{-2/(d+4)},\quad\text{stable}\iff\lambda\kappa<1",
        "logarithmic_time": r"\frac{\Sigma_t}{\Sigma_0}=\prod_{k\le t}"
        r"\left(1-\frac{\lambda(1-\tau)}{1+\lambda k}\right)\sim t^{-(1-\tau)}",
        "effective_sample_size": r"\frac{\text{error}}{C/n}=\frac{1+\lambda}{1+2\lambda}"
        r"+(1+\lambda)^2B,\quad B=\frac{n\delta^2}{C},\qquad"
        r"\text{synthetic data help}\iff B<\tfrac12",
        "growing_data": r"\frac{\text{error}}{\sigma^2/n}=\sum_{s\le t}\frac{n}{n_s},\qquad "
        r"\frac{\mathbb{E}\,\sigma_t}{\sigma}=\prod_{s\le t}\alpha(n_s),\qquad "
        r"\text{both bounded}\iff\sum_t\frac1{n_t}<\infty",
        "frequencies_with_real_data": r"D\leftarrow c^2\left[\left(1-\tfrac1m\right)D"
        r"+\frac{1-S}{m}\right],\qquad D=\mathbb{E}\|p-\hat p\|^2,\quad S=\sum_i\hat p_i^2",
        "accumulated_likelihood": r"\Pr\left(\max_{t\le T}\sqrt n\,|\theta_t-\theta^\star|>"
        r"\tfrac{\pi}{\sqrt6}\,\sigma z_{1-\delta/4}\right)\le\delta,\qquad"
        r"\Pr(\text{spike})=\Pr\left(\chi^2_1>-2n\log(1-\varepsilon)\right)"
        r"\left(1-(1-\varepsilon)^m\right)",
        "verifier": r"g=1-\frac{2u\phi(u)}{2\Phi(u)-1},\qquad \text{MSE}="
        r"\left((1-g)b\right)^2+g^2s^2+\frac gm,\qquad \text{scatter}\approx\frac{g}{n(1-g^2)}",
        "populations": r"\mu\leftarrow(1-c)\bar x+cW\mu+c\xi,\qquad \text{uniform }W:\ "
        r"(1-c)^2\left(1-\tfrac1K\right)+\tfrac1K+\frac{c^4}{\lambda K(1-c^2)}"
        r"+\frac{c^2}{\lambda}",
        "generation_weights": r"\text{best gain in round }t:\ \frac{\alpha}{1+\alpha^2t},\qquad "
        r"\frac{\text{error}}{\sigma^2/n}=\frac{1}{1+\alpha^2t}",
        "conservation": r"\mathbb{E}\,\Sigma_t+\text{Var}\,\mu_t=\Sigma,\qquad "
        r"\text{Var}\,\mu_\infty=\frac{\Sigma}{1-\alpha+\alpha n(2-\alpha)}",
        "absorption": r"h\leftarrow h\left(q+(1-q)\left(1-\tfrac1N\right)\right),\qquad "
        r"\Pr(\text{two kinds left})\le H_0\left(1-\tfrac{1-q}{N}\right)^t\frac{N^2}{2(N-1)}",
        "collapse_profile": r"\text{risk}=\mathbb{E}\|p_t-q\|^2+\mathbb{E}(\hat\mu_t-\mu)^2,\qquad "
        r"\text{definitions met: }8\ \text{(replace)},\ 3\ \text{(accumulate)},\ 1\ \text{(mix)},"
        r"\ 0\ \text{(new real data)}",
    }
)


def typeset(text: str) -> str:
    """Text as HTML, with each `$…$` as MathML, which browsers show without a script.

    Args:
        text: Plain text or Markdown, with LaTeX between dollar signs.

    Returns:
        HTML that may stand in Markdown.
    """
    parts = text.split("$")
    parts[::2] = [html.escape(part, quote=False) for part in parts[::2]]
    parts[1::2] = [
        latex2mathml.converter.convert(latex)
        .replace("*", "&#42;")
        .replace("_", "&#95;")
        .replace("|", "&#124;")
        for latex in parts[1::2]
    ]
    return "".join(parts)
