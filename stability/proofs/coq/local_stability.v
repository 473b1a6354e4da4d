(* S1: retraining by exact maximum likelihood is locally stable at every finite lambda.

   Read M = -A (curvature of the expected log-likelihood under the data) and N = -B (Fisher
   information of the model). Both are positive semi-definite bilinear forms on a real vector
   space V of any dimension. A retraining acts on small perturbations by the linear map J with
   (M + lambda N) J = lambda N. No spectral theorem is needed, and V need not be complete. *)

Require Import Reals Lra Lia Psatz.
From Coquelicot Require Import Coquelicot.
Open Scope R_scope.

Section Local_stability.

Variable V : ModuleSpace R_Ring.
Variables M N : V -> V -> R.

Record semi_inner (f : V -> V -> R) : Prop := {
  symmetric : forall x y, f x y = f y x;
  additive : forall x y z, f (plus x y) z = f x z + f y z;
  homogeneous : forall a x z, f (scal a x) z = a * f x z;
  semi_definite : forall x, 0 <= f x x }.

Hypothesis M_form : semi_inner M.
Hypothesis N_form : semi_inner N.

Variables lambda mu : R.
Hypothesis lambda_range : 0 <= lambda.
Hypothesis mu_range : 0 <= mu.
(* mu bounds the generalised eigenvalues of (N, M). *)
Hypothesis mu_bound : forall x, N x x <= mu * M x x.

Variable J : V -> V.
Hypothesis retraining : forall v w, M (J v) w + lambda * N (J v) w = lambda * N v w.

Definition q := lambda * mu / (1 + lambda * mu).
Definition P (x y : V) := M x y + lambda * N x y.
Definition norm_P (x : V) := sqrt (P x x).

Lemma q_range : 0 <= q < 1.
Proof.
  assert (0 <= lambda * mu) by nra.
  unfold q; split.
  - apply Rdiv_le_0_compat; lra.
  - apply Rmult_lt_reg_r with (1 + lambda * mu); [lra | field_simplify; lra].
Qed.

Lemma P_form : semi_inner P.
Proof.
  destruct M_form, N_form; split; intros; unfold P.
  - rewrite symmetric0, symmetric1; ring.
  - rewrite additive0, additive1; ring.
  - rewrite homogeneous0, homogeneous1; ring.
  - specialize (semi_definite0 x); specialize (semi_definite1 x); nra.
Qed.

(* f (x + a y, x + a y) >= 0 for every a. *)
Lemma cauchy_schwarz f : semi_inner f -> forall x y, f x y * f x y <= f x x * f y y.
Proof.
  intros [sym add hom pos] x y.
  assert (square : forall a b, 0 <= a * a * f x x + 2 * (a * b) * f x y + b * b * f y y).
  { intros a b.
    generalize (pos (plus (scal a x) (scal b y))).
    rewrite add, !hom, (sym x), (sym y (plus _ _)), !add, !hom, (sym y x); nra. }
  destruct (Rle_lt_or_eq_dec _ _ (pos y)) as [positive | zero].
  - generalize (square (f y y) (- f x y)); nra.
  - rewrite <- zero in *.
    generalize (pos x) (square (- f x y) (f x x + 1)); nra.
Qed.

(* lambda N is at most the share q of P, since the rest is M / (1 + lambda mu). *)
Lemma synthetic_share x : lambda * N x x <= q * P x x.
Proof.
  assert (0 <= lambda * mu) by nra.
  assert (same : q * P x x - lambda * N x x
                 = lambda * (mu * M x x - N x x) / (1 + lambda * mu))
    by (unfold q, P; field; lra).
  cut (0 <= lambda * (mu * M x x - N x x) / (1 + lambda * mu)); [lra |].
  apply Rdiv_le_0_compat; [generalize (mu_bound x); nra | lra].
Qed.

Lemma contraction_squared v : P (J v) (J v) <= q * q * P v v.
Proof.
  destruct q_range.
  assert (step : P (J v) (J v) = lambda * N v (J v)) by (apply retraining).
  generalize (cauchy_schwarz N N_form v (J v)) (synthetic_share v) (synthetic_share (J v))
    (semi_definite P P_form (J v)) (semi_definite P P_form v)
    (semi_definite N N_form v) (semi_definite N N_form (J v));
    intros cauchy share_v share_Jv P_Jv P_v N_v N_Jv.
  destruct (Rle_lt_or_eq_dec _ _ P_Jv) as [positive | zero]; [| rewrite <- zero; nra].
  apply Rmult_le_reg_r with (P (J v) (J v)); [assumption |].
  apply Rle_trans with ((lambda * N v v) * (lambda * N (J v) (J v))).
  - rewrite step at 1 2; nra.
  - replace (q * q * P v v * P (J v) (J v)) with ((q * P v v) * (q * P (J v) (J v))) by ring.
    apply Rmult_le_compat; nra.
Qed.

Theorem one_retraining v : norm_P (J v) <= q * norm_P v.
Proof.
  destruct q_range.
  unfold norm_P. rewrite <- (sqrt_square q), <- sqrt_mult by
    (try apply (semi_definite P P_form); nra).
  apply sqrt_le_1_alt, contraction_squared.
Qed.

Fixpoint iterate (f : V -> V) (t : nat) (v : V) :=
  match t with O => v | S t => f (iterate f t v) end.

Theorem many_retrainings t v : norm_P (iterate J t v) <= q ^ t * norm_P v.
Proof.
  destruct q_range.
  induction t as [| t IH]; simpl; [lra |].
  apply Rle_trans with (1 := one_retraining _).
  rewrite Rmult_assoc; apply Rmult_le_compat_l; lra.
Qed.

(* The rate is attained: nothing smaller will do where mu is an eigenvalue. *)
Theorem rate_attained w :
  (forall x, N w x = mu * M w x) -> norm_P (J w) = q * norm_P w.
Proof.
  intros eigenvector. destruct q_range as [q_low _].
  assert (0 <= lambda * mu) by nra.
  (* N w = mu M w makes lambda N w = q P w. *)
  assert (share : forall x, lambda * N w x = q * P w x)
    by (intro x; unfold P, q; rewrite eigenvector; field; lra).
  assert (first : P (J w) w = q * P w w) by (rewrite <- share; apply retraining).
  assert (second : P (J w) (J w) = q * (q * P w w)).
  { rewrite <- first, (symmetric P P_form (J w) w), <- share. apply retraining. }
  unfold norm_P; rewrite second, <- Rmult_assoc.
  rewrite sqrt_mult, sqrt_square by (try apply (semi_definite P P_form); nra).
  reflexivity.
Qed.

(* Minkowski's inequality. *)
Lemma norm_triangle x y : norm_P (plus x y) <= norm_P x + norm_P y.
Proof.
  generalize (cauchy_schwarz P P_form x y) P_form; intros cs [sym add _ pos].
  generalize (pos x) (pos y) (sqrt_pos (P x x)) (sqrt_pos (P y y)); intros px py sx sy.
  generalize (sqrt_sqrt _ px) (sqrt_sqrt _ py); intros ex ey.
  unfold norm_P. rewrite <- (sqrt_square (sqrt (P x x) + sqrt (P y y))) by lra.
  apply sqrt_le_1_alt.
  rewrite add, (sym x), (sym y (plus _ _)), !add, (sym y x).
  set (a := sqrt (P x x)) in *; set (b := sqrt (P y y)) in *.
  assert (0 <= a * b) by nra.
  assert (P x y * P x y <= (a * b) * (a * b))
    by (replace ((a * b) * (a * b)) with ((a * a) * (b * b)) by ring; rewrite ex, ey; exact cs).
  assert (P x y <= a * b) by (destruct (Rle_or_lt (P x y) (a * b)); [assumption | nra]).
  nra.
Qed.

(* The exact map G, centred at its fixed point: G v = J v up to eta |v| within radius r. *)
Theorem local_convergence (G : V -> V) (eta r : R) :
  0 <= eta -> q + eta <= 1 ->
  (forall v, norm_P v <= r -> norm_P (minus (G v) (J v)) <= eta * norm_P v) ->
  forall v t, norm_P v <= r -> norm_P (iterate G t v) <= (q + eta) ^ t * norm_P v.
Proof.
  intros eta_low rate linear v t start. destruct q_range.
  assert (one : forall w, norm_P w <= r -> norm_P (G w) <= (q + eta) * norm_P w).
  { intros w inside.
    replace (G w) with (plus (minus (G w) (J w)) (J w))
      by (unfold minus; rewrite <- plus_assoc, plus_opp_l, plus_zero_r; reflexivity).
    generalize (norm_triangle (minus (G w) (J w)) (J w)) (linear w inside) (one_retraining w).
    lra. }
  assert (all : norm_P (iterate G t v) <= (q + eta) ^ t * norm_P v
                /\ (q + eta) ^ t <= 1).
  { induction t as [| t [IH small]]; simpl; [lra |].
    assert (0 <= (q + eta) ^ t) by (apply pow_le; lra).
    assert (0 <= norm_P v) by apply sqrt_pos.
    assert (inside : norm_P (iterate G t v) <= r) by nra.
    split; [| nra].
    apply Rle_trans with (1 := one _ inside).
    rewrite Rmult_assoc; apply Rmult_le_compat_l; lra. }
  apply all.
Qed.

End Local_stability.

Definition theorems := (@one_retraining, @many_retrainings, @rate_attained, @local_convergence).
Print Assumptions theorems.
