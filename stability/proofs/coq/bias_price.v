(* The price of bias: how far a loop drifts if each fit is off by at most delta.

   f is any functional that is linear in the law: a mean, a share, a probability. Write m t for
   its value under model t minus the value under the real data, and g t for the same of training
   set t. Each regime says how g follows from m; each fit is off by |m t - g t| <= delta. No
   assumption is made on the law, the model or the learner. *)

Require Import Reals Lra Lia Psatz.
Open Scope R_scope.

Fixpoint sum (f : nat -> R) (t : nat) : R :=
  match t with O => f O | S t => sum f t + f (S t) end.
Fixpoint product (f : nat -> R) (t : nat) : R :=
  match t with O => f O | S t => product f t * f (S t) end.

(* The training sets of generation t + 1 in each regime. *)
Definition weighted w (m g : nat -> R) := g O = 0 /\ forall t, g (S t) = (1 - w) * m t.
Definition mix lambda := weighted (/ (1 + lambda)).
Definition fully_synthetic := weighted 0.
(* Everything is kept: lambda n synthetic points are added to n(1 + lambda t). *)
Definition accumulate lambda (m g : nat -> R) := g O = 0 /\ forall t,
  (1 + lambda * INR (S t)) * g (S t) = (1 + lambda * INR t) * g t + lambda * m t.
(* Everything is kept, and a share alpha of the n points added each time is real. *)
Definition accumulate_fresh alpha (m g : nat -> R) := g O = 0 /\ forall t,
  INR (2 + t) * g (S t) = INR (1 + t) * g t + (1 - alpha) * m t.

Definition biased delta (m g : nat -> R) := forall t, Rabs (m t - g t) <= delta.

(* The prices. *)
Definition price_weighted w := sum (fun k => (1 - w) ^ k).
Definition price_accumulate lambda := sum (fun k =>
  match k with O => 1 | S _ => lambda / (1 + lambda * INR k) end).
Definition price_accumulate_fresh alpha t :=
  / alpha - (1 - alpha) / alpha * product (fun k =>
    match k with O => 1 | S _ => 1 - alpha / INR (k + 1) end) t.

Lemma within x y d e : Rabs (x - y) <= d -> Rabs y <= e -> Rabs x <= d + e.
Proof.
  intros near small; replace x with ((x - y) + y) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _); lra.
Qed.

Section Prices.

Variable delta : R.
Variables m g : nat -> R.

Lemma sum_scale f a t : sum (fun k => a * f k) t = a * sum f t.
Proof. induction t as [| t IH]; simpl; [| rewrite IH]; ring. Qed.

Lemma sum_geometric c t : sum (fun k => c ^ k) (S t) = 1 + c * sum (fun k => c ^ k) t.
Proof. induction t as [| t IH]; simpl in *; [ring | rewrite IH at 1; ring]. Qed.

Theorem weighted_row w t : 0 <= w <= 1 -> weighted w m g -> biased delta m g ->
  Rabs (m t) <= delta * price_weighted w t.
Proof.
  intros range [start next] bias; induction t as [| t IH].
  - unfold price_weighted; simpl; generalize (bias O); rewrite start, Rminus_0_r; lra.
  - unfold price_weighted; rewrite sum_geometric.
    generalize (within _ _ delta ((1 - w) * (delta * price_weighted w t)) (bias (S t))).
    rewrite next, Rabs_mult, (Rabs_pos_eq (1 - w)) by lra.
    unfold price_weighted in *; intro both.
    apply Rle_trans with (delta + (1 - w) * (delta * sum (fun k => (1 - w) ^ k) t)); [| lra].
    apply both, Rmult_le_compat_l; lra.
Qed.

Lemma price_weighted_limit w t : 0 < w <= 1 -> 0 <= delta ->
  delta * price_weighted w t <= delta / w.
Proof.
  intros range pos; assert (closed : w * price_weighted w t = 1 - (1 - w) ^ S t).
  { unfold price_weighted; induction t as [| t IH]; simpl in *; [ring |].
    rewrite Rmult_plus_distr_l, IH; ring. }
  assert (0 <= (1 - w) ^ S t) by (apply pow_le; lra).
  unfold Rdiv; apply Rmult_le_compat_l; [assumption |].
  apply Rmult_le_reg_l with w; [lra |]; rewrite closed, Rinv_r by lra; lra.
Qed.

Theorem mix_row lambda t : 0 <= lambda -> 0 <= delta -> mix lambda m g -> biased delta m g ->
  Rabs (m t) <= delta * (1 + lambda).
Proof.
  intros range pos rule bias.
  assert (w : 0 < / (1 + lambda) <= 1).
  { split; [apply Rinv_0_lt_compat; lra |].
    apply Rmult_le_reg_l with (1 + lambda); [lra | rewrite Rinv_r; lra]. }
  apply Rle_trans with (1 := weighted_row (/ (1 + lambda)) t ltac:(lra) rule bias).
  apply Rle_trans with (1 := price_weighted_limit _ t w pos).
  unfold Rdiv; rewrite Rinv_inv; lra.
Qed.

Theorem fully_synthetic_row t : fully_synthetic m g -> biased delta m g ->
  Rabs (m t) <= delta * INR (t + 1).
Proof.
  intros rule bias; apply Rle_trans with (1 := weighted_row 0 t ltac:(lra) rule bias).
  right; f_equal; unfold price_weighted; rewrite Rminus_0_r; clear; induction t as [| t IH].
  - simpl; ring.
  - replace (S t + 1)%nat with (S (t + 1)) by lia; rewrite S_INR, <- IH.
    simpl sum; rewrite pow1; ring.
Qed.

Theorem accumulate_row lambda t : 0 <= lambda -> accumulate lambda m g -> biased delta m g ->
  Rabs (m t) <= delta * price_accumulate lambda t.
Proof.
  intros range [start next] bias.
  (* The training set moves by the share lambda / (1 + lambda t) of the last fit's error. *)
  assert (training : Rabs (g t) <= delta * (price_accumulate lambda t - 1)).
  { induction t as [| t IH].
    - unfold price_accumulate; simpl; rewrite start, Rabs_R0; lra.
    - generalize (next t) (bias t) (pos_INR t); intros rule off large.
      assert (0 <= lambda * INR t) by (apply Rmult_le_pos; assumption).
      assert (step : g (S t) - g t = lambda / (1 + lambda * INR (S t)) * (m t - g t)).
      { rewrite S_INR in *; apply Rmult_eq_reg_l with (1 + lambda * (INR t + 1)); [| nra].
        field_simplify; nra. }
      assert (share : 0 <= lambda / (1 + lambda * INR (S t)))
        by (rewrite S_INR; apply Rmult_le_pos; [| apply Rlt_le, Rinv_0_lt_compat]; nra).
      apply Rle_trans with (lambda / (1 + lambda * INR (S t)) * delta
                            + delta * (price_accumulate lambda t - 1)).
      + apply within with (g t); [| assumption].
        rewrite step, Rabs_mult, Rabs_pos_eq by assumption; nra.
      + right; change (price_accumulate lambda (S t))
          with (price_accumulate lambda t + lambda / (1 + lambda * INR (S t))); ring. }
  replace (delta * price_accumulate lambda t)
    with (delta + delta * (price_accumulate lambda t - 1)) by ring.
  apply within with (g t); [apply bias | assumption].
Qed.

Theorem accumulate_fresh_row alpha t :
  0 < alpha <= 1 -> accumulate_fresh alpha m g -> biased delta m g ->
  Rabs (m t) <= delta * price_accumulate_fresh alpha t.
Proof.
  intros range [start next] bias.
  assert (training : Rabs (g t) <= delta * (price_accumulate_fresh alpha t - 1)).
  { induction t as [| t IH].
    - unfold price_accumulate_fresh; simpl; rewrite start, Rabs_R0; right; field; lra.
    - generalize (next t) (bias t) (pos_INR t); intros rule off large.
      assert (many : INR (2 + t) = INR t + 2) by (rewrite plus_INR; simpl; ring).
      assert (fewer : INR (1 + t) = INR t + 1) by (rewrite plus_INR; simpl; ring).
      assert (step : g (S t) - (1 - alpha / (INR t + 2)) * g t
                     = (1 - alpha) / (INR t + 2) * (m t - g t)).
      { rewrite many, fewer in rule.
        apply Rmult_eq_reg_l with (INR t + 2); [| lra]; field_simplify; nra. }
      assert (alpha / (INR t + 2) <= 1)
        by (apply Rmult_le_reg_r with (INR t + 2); [lra | field_simplify; lra]).
      assert (share : 0 <= (1 - alpha) / (INR t + 2))
        by (apply Rmult_le_pos; [| apply Rlt_le, Rinv_0_lt_compat]; lra).
      apply Rle_trans with ((1 - alpha) / (INR t + 2) * delta
        + (1 - alpha / (INR t + 2)) * (delta * (price_accumulate_fresh alpha t - 1))).
      + apply within with ((1 - alpha / (INR t + 2)) * g t).
        * rewrite step, Rabs_mult, Rabs_pos_eq by assumption; nra.
        * rewrite Rabs_mult, Rabs_pos_eq by lra; apply Rmult_le_compat_l; lra.
      + right; unfold price_accumulate_fresh; cbn [product].
        replace (INR (S t + 1)) with (INR t + 2)
          by (rewrite plus_INR, S_INR; simpl; ring).
        field; lra. }
  replace (delta * price_accumulate_fresh alpha t)
    with (delta + delta * (price_accumulate_fresh alpha t - 1)) by ring.
  apply within with (g t); [apply bias | assumption].
Qed.

(* A fit that responds with slope J to its training set: prices with c J in place of c. *)
Theorem response_row lambda J t : 0 <= lambda -> 0 <= J -> lambda / (1 + lambda) * J < 1 ->
  0 <= delta -> mix lambda m g -> (forall s, Rabs (m s - J * g s) <= delta) ->
  Rabs (m t) <= delta / (1 - lambda / (1 + lambda) * J).
Proof.
  intros range slope small pos [start next] off.
  assert (share : 1 - / (1 + lambda) = lambda / (1 + lambda)) by (field; lra).
  assert (low : 0 <= lambda / (1 + lambda))
    by (apply Rmult_le_pos; [| apply Rlt_le, Rinv_0_lt_compat]; lra).
  set (c := lambda / (1 + lambda)) in *.
  assert (0 <= c * J) by (apply Rmult_le_pos; lra).
  assert (fixed : delta + c * J * (delta / (1 - c * J)) = delta / (1 - c * J)) by (field; lra).
  assert (0 <= delta / (1 - c * J))
    by (apply Rmult_le_pos; [| apply Rlt_le, Rinv_0_lt_compat]; lra).
  induction t as [| t IH].
  - generalize (off O); rewrite start, Rmult_0_r, Rminus_0_r; nra.
  - rewrite <- fixed; apply within with (J * g (S t)); [apply off |].
    rewrite next, share.
    replace (J * (c * m t)) with (c * J * m t) by ring.
    rewrite Rabs_mult, Rabs_pos_eq by assumption; apply Rmult_le_compat_l; assumption.
Qed.

(* The prices are attained, by a learner that is off by delta in every round. *)
Theorem weighted_attained w t :
  weighted w m g -> (forall s, m s = g s + delta) -> m t = delta * price_weighted w t.
Proof.
  intros [start next] shifted; induction t as [| t IH].
  - rewrite shifted, start; unfold price_weighted; simpl; ring.
  - unfold price_weighted in *; rewrite sum_geometric, shifted, next, IH; ring.
Qed.

Theorem accumulate_attained lambda t : 0 <= lambda ->
  accumulate lambda m g -> (forall s, m s = g s + delta) -> m t = delta * price_accumulate lambda t.
Proof.
  intros range [start next] shifted; rewrite shifted; induction t as [| t IH].
  - rewrite start; unfold price_accumulate; simpl; ring.
  - change (price_accumulate lambda (S t))
      with (price_accumulate lambda t + lambda / (1 + lambda * INR (S t))).
    generalize (next t) (pos_INR t); rewrite shifted, S_INR; intros rule large.
    assert (0 <= lambda * INR t) by (apply Rmult_le_pos; assumption).
    rewrite Rmult_plus_distr_l, <- IH.
    apply Rmult_eq_reg_l with (1 + lambda * (INR t + 1)); [| nra].
    field_simplify; nra.
Qed.

End Prices.

(* The price of accumulating grows without bound, like a logarithm. *)
Lemma ln_upper y : 0 < y -> ln y <= y - 1.
Proof.
  intro pos; generalize (exp_ineq1_le (ln y)); rewrite exp_ln by assumption; lra.
Qed.

Lemma ln_quotient x y : 0 < x -> 0 < y -> ln (x / y) = ln x - ln y.
Proof.
  intros; unfold Rdiv; rewrite ln_mult, ln_Rinv; auto using Rinv_0_lt_compat; ring.
Qed.

Lemma ln_steps x lambda : 0 <= lambda -> 0 < x ->
  ln (x + lambda) - ln x <= lambda / x /\ lambda / (x + lambda) <= ln (x + lambda) - ln x.
Proof.
  intros low pos; assert (0 < x + lambda) by lra; split.
  - rewrite <- ln_quotient by lra.
    apply Rle_trans with (1 := ln_upper _ (Rdiv_lt_0_compat _ _ H pos)); right; field; lra.
  - generalize (ln_upper _ (Rdiv_lt_0_compat _ _ pos H)); rewrite ln_quotient by lra.
    replace (x / (x + lambda) - 1) with (- (lambda / (x + lambda))) by (field; lra); lra.
Qed.

Theorem logarithmic lambda t : 0 <= lambda ->
  1 + ln (1 + lambda * INR (t + 1)) - ln (1 + lambda) <= price_accumulate lambda t
  /\ price_accumulate lambda t <= 1 + ln (1 + lambda * INR t).
Proof.
  intro low; induction t as [| t [below above]].
  - unfold price_accumulate; simpl; rewrite Rmult_0_r, Rmult_1_r, Rplus_0_r, ln_1; lra.
  - change (price_accumulate lambda (S t))
      with (price_accumulate lambda t + lambda / (1 + lambda * INR (S t))).
    replace (S t + 1)%nat with (S (S t)) by lia.
    replace (t + 1)%nat with (S t) in below by lia.
    generalize (pos_INR t); rewrite !S_INR in *; intro large.
    assert (0 <= lambda * INR t) by (apply Rmult_le_pos; assumption).
    destruct (ln_steps (1 + lambda * INR t) lambda low ltac:(lra)) as [_ up].
    destruct (ln_steps (1 + lambda * (INR t + 1)) lambda low ltac:(lra)) as [down _].
    replace (1 + lambda * INR t + lambda) with (1 + lambda * (INR t + 1)) in up by ring.
    replace (1 + lambda * (INR t + 1) + lambda) with (1 + lambda * (INR t + 1 + 1)) in down by ring.
    lra.
Qed.

Definition theorems := (@weighted_row, @mix_row, @fully_synthetic_row, @accumulate_row,
  @accumulate_fresh_row, @response_row, @weighted_attained, @accumulate_attained, @logarithmic).
Print Assumptions theorems.
