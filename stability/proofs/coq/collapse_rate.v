(* The rate of Gaussian collapse: alpha(n) increases with n and stays below 1.

   Convention: a generation has n >= 2 points, its covariance is divided by n - 1, and so
   alpha(n) = E chi_k / sqrt k with k = n - 1 degrees of freedom. Of the chi laws three facts are
   used: the mean m k = E chi_k is positive, E chi_k E chi_(k+1) = k, and (E chi_k)^2 is at most
   E chi_k^2 = k (Jensen). *)

Require Import Reals Lra Lia Psatz.
Open Scope R_scope.

Section Collapse_rate.

Variable m : nat -> R.
Hypothesis mean_positive : forall k, (1 <= k)%nat -> 0 < m k.
Hypothesis mean_product : forall k, (1 <= k)%nat -> m k * m (S k) = INR k.
Hypothesis mean_jensen : forall k, (1 <= k)%nat -> m k * m k <= INR k.

(* alpha(n) squared, n = k + 1. Squares keep the square roots out of the algebra. *)
Definition square (k : nat) := m k * m k / INR k.
Definition alpha (n : nat) := m (n - 1) / sqrt (INR (n - 1)).

Lemma real_positive k : (1 <= k)%nat -> 1 <= INR k.
Proof. intro; replace 1 with (INR 1) by reflexivity; apply le_INR; assumption. Qed.

Lemma archimedes x : exists j, x < INR j.
Proof.
  destruct (archimed x) as [above _]; exists (Z.to_nat (up x)).
  rewrite INR_IZR_INZ; apply Rlt_le_trans with (IZR (up x)); [lra | apply IZR_le; lia].
Qed.

Lemma square_positive k : (1 <= k)%nat -> 0 < square k.
Proof.
  intro large; generalize (mean_positive k large) (real_positive k large); intros.
  unfold square; apply Rdiv_lt_0_compat; nra.
Qed.

Lemma square_at_most_1 k : (1 <= k)%nat -> square k <= 1.
Proof.
  intro large; generalize (mean_jensen k large) (real_positive k large); intros.
  unfold square; apply Rmult_le_reg_r with (INR k); [lra | field_simplify; lra].
Qed.

Lemma square_product k : (1 <= k)%nat -> square k * square (S k) = INR k / (INR k + 1).
Proof.
  intro large; generalize (real_positive k large); intro.
  unfold square; rewrite S_INR.
  replace (m k * m k / INR k * (m (S k) * m (S k) / (INR k + 1)))
    with ((m k * m (S k)) * (m k * m (S k)) / (INR k * (INR k + 1))) by (field; lra).
  rewrite mean_product by assumption; field; lra.
Qed.

(* As square (k + 1) <= 1, square k >= k / (k + 1): the limit is 1. *)
Lemma square_low k : (1 <= k)%nat -> INR k / (INR k + 1) <= square k.
Proof.
  intro large; rewrite <- square_product by assumption.
  generalize (square_at_most_1 (S k) ltac:(lia)) (square_positive k large); nra.
Qed.

(* A sequence that rises strictly in steps of two and never passes 1 never reaches it. *)
Lemma square_below_1 k : (1 <= k)%nat -> square k < 1.
Proof.
  intro large.
  assert (rises : square k < square (S (S k))).
  { generalize (square_product k large) (square_product (S k) ltac:(lia))
      (square_positive k large) (square_positive (S k) ltac:(lia)) (real_positive k large).
    rewrite S_INR; set (x := INR k); intros first second low high big.
    apply Rmult_lt_reg_l with (square (S k)); [assumption |].
    rewrite second, Rmult_comm, first.
    apply Rmult_lt_reg_r with ((x + 1) * (x + 1 + 1)); [nra |].
    field_simplify; lra. }
  generalize (square_at_most_1 (S (S k)) ltac:(lia)); lra.
Qed.

(* Excess of the ratio square (k + 1) / square k over 1, without division. *)
Lemma ratio_falls k : (1 <= k)%nat ->
  square (3 + k) * square k < square (2 + k) * square (1 + k).
Proof.
  intro large.
  generalize (square_product k large) (square_product (1 + k) ltac:(lia))
    (square_product (2 + k) ltac:(lia)) (square_positive k large)
    (square_positive (1 + k) ltac:(lia)) (square_positive (2 + k) ltac:(lia))
    (square_positive (3 + k) ltac:(lia)) (real_positive k large).
  replace (INR (1 + k)) with (INR k + 1) by (rewrite plus_INR; simpl; ring).
  replace (INR (2 + k)) with (INR k + 2) by (rewrite plus_INR; simpl; ring).
  change (S k) with (1 + k)%nat; change (S (1 + k)) with (2 + k)%nat.
  change (S (2 + k)) with (3 + k)%nat.
  set (x := INR k); set (a := square k); set (b := square (1 + k)).
  set (c := square (2 + k)); set (d := square (3 + k)).
  intros ab bc cd pa pb pc pd big.
  apply Rmult_lt_reg_r with (c * b); [apply Rmult_lt_0_compat; assumption |].
  replace (d * a * (c * b)) with ((a * b) * (c * d)) by ring.
  replace (c * b * (c * b)) with ((b * c) * (b * c)) by ring.
  rewrite ab, bc, cd.
  (* What is left is x (x + 2)^3 < (x + 1)^3 (x + 3). *)
  apply Rminus_gt_0_lt.
  replace (_ - _) with ((2 * x + 3) / ((x + 1) * (x + 2) * (x + 2) * (x + 3))) by (field; lra).
  apply Rdiv_lt_0_compat; [lra | repeat apply Rmult_lt_0_compat; lra].
Qed.
(* The ratios fall in steps of two, and tend to 1 as the squares do: so they exceed 1. Were one
   at most 1, the next would be at most some c < 1, and with it all that follow. *)
Lemma square_increases k : (1 <= k)%nat -> square k < square (S k).
Proof.
  intro large.
  destruct (Rlt_or_le (square k) (square (S k))) as [done | falls]; [assumption | exfalso].
  generalize (square_positive k large) (square_positive (2 + k) ltac:(lia)); intros pa pc.
  set (c := square (3 + k) / square (2 + k)).
  assert (below : c < 1).
  { unfold c; apply Rmult_lt_reg_r with (square (2 + k)); [assumption |].
    replace (square (3 + k) / square (2 + k) * square (2 + k)) with (square (3 + k))
      by (field; lra).
    generalize (ratio_falls k large); change (1 + k)%nat with (S k); intro ratio.
    apply Rmult_lt_reg_r with (square k); [assumption | nra]. }
  assert (stays : forall j, square (3 + k + 2 * j) <= c * square (2 + k + 2 * j)).
  { induction j as [| j IH].
    - replace (3 + k + 2 * 0)%nat with (3 + k)%nat by lia.
      replace (2 + k + 2 * 0)%nat with (2 + k)%nat by lia.
      unfold c; right; field; lra.
    - generalize (ratio_falls (2 + k + 2 * j) ltac:(lia))
        (square_positive (2 + k + 2 * j) ltac:(lia))
        (square_positive (2 + (2 + k + 2 * j)) ltac:(lia)).
      replace (3 + k + 2 * S j)%nat with (3 + (2 + k + 2 * j))%nat by lia.
      replace (2 + k + 2 * S j)%nat with (2 + (2 + k + 2 * j))%nat by lia.
      replace (3 + k + 2 * j)%nat with (1 + (2 + k + 2 * j))%nat in IH by lia.
      intros falls_here pK pK2.
      apply Rmult_le_reg_r with (square (2 + k + 2 * j)); [assumption | nra]. }
  (* So 1 - 1/(K + 1) <= square K <= c for arbitrarily large K. *)
  destruct (archimedes (/ (1 - c))) as [j far].
  generalize (stays j) (square_low (3 + k + 2 * j) ltac:(lia))
    (square_at_most_1 (2 + k + 2 * j) ltac:(lia)) (square_positive (2 + k + 2 * j) ltac:(lia)).
  assert (c_positive : 0 <= c)
    by (unfold c; apply Rlt_le, Rdiv_lt_0_compat; [apply square_positive; lia | assumption]).
  set (K := (3 + k + 2 * j)%nat); intros upper lower at_most positive.
  assert (INR j <= INR K) by (apply le_INR; unfold K; lia).
  assert (K_low : INR K / (INR K + 1) <= c) by nra.
  assert (0 <= INR j) by apply pos_INR.
  apply (Rmult_le_compat_r (INR K + 1)) in K_low; [| lra].
  replace (INR K / (INR K + 1) * (INR K + 1)) with (INR K) in K_low by (field; lra).
  apply (Rmult_lt_compat_r (1 - c)) in far; [| lra].
  rewrite Rinv_l in far by lra; nra.
Qed.

Lemma alpha_square n : (2 <= n)%nat -> 0 < alpha n /\ alpha n * alpha n = square (n - 1).
Proof.
  intro large; assert (k_large : (1 <= n - 1)%nat) by lia.
  generalize (mean_positive _ k_large) (real_positive _ k_large); intros positive big.
  assert (root : 0 < sqrt (INR (n - 1))) by (apply sqrt_lt_R0; lra).
  split; [apply Rdiv_lt_0_compat; assumption |].
  unfold alpha, square; rewrite <- (sqrt_sqrt (INR (n - 1))) at 3 by lra; field; lra.
Qed.

Theorem alpha_below_1 n : (2 <= n)%nat -> alpha n < 1.
Proof.
  intro large; destruct (alpha_square n large) as [positive same].
  generalize (square_below_1 (n - 1) ltac:(lia)); nra.
Qed.

Theorem alpha_increases n : (2 <= n)%nat -> alpha n < alpha (S n).
Proof.
  intro large; destruct (alpha_square n large) as [positive same].
  destruct (alpha_square (S n) ltac:(lia)) as [positive_next same_next].
  generalize (square_increases (n - 1) ltac:(lia)).
  replace (S (n - 1)) with (S n - 1)%nat by lia; nra.
Qed.

(* (k / (k + 1))^(1/2) < alpha(k + 1) < (k / (k + 1))^(1/4). *)
Theorem alpha_between k : (1 <= k)%nat ->
  INR k / (INR k + 1) < alpha (S k) ^ 2 /\ alpha (S k) ^ 4 < INR k / (INR k + 1).
Proof.
  intro large; destruct (alpha_square (S k) ltac:(lia)) as [positive same].
  replace (S k - 1)%nat with k in same by lia.
  replace (alpha (S k) ^ 2) with (square k) by (rewrite <- same; ring).
  replace (alpha (S k) ^ 4) with (square k * square k) by (rewrite <- same; ring).
  rewrite <- (square_product k large).
  generalize (square_positive k large) (square_below_1 (S k) ltac:(lia))
    (square_increases k large); nra.
Qed.

Theorem alpha_tends_to_1 : Un_cv alpha 1.
Proof.
  intros eps positive.
  destruct (archimedes (/ eps)) as [j far].
  exists (2 + j)%nat; intros n large; unfold R_dist, ge in *.
  generalize (alpha_below_1 n ltac:(lia)) (alpha_square n ltac:(lia))
    (square_low (n - 1) ltac:(lia)) (real_positive (n - 1) ltac:(lia)).
  assert (j_low : INR j <= INR (n - 1)) by (apply le_INR; lia).
  set (x := INR (n - 1)) in *; intros below [pos same] low big.
  (* 1 - alpha <= 1 - alpha^2 <= 1/(k + 1) < eps. *)
  assert (gap : 1 - alpha n * alpha n < eps).
  { rewrite same; replace (x / (x + 1)) with (1 - / (x + 1)) in low by (field; lra).
    assert (/ (x + 1) < eps); [| lra].
    rewrite <- (Rinv_inv eps); apply Rinv_lt_contravar; [| lra].
    apply Rmult_lt_0_compat; [apply Rinv_0_lt_compat; assumption | lra]. }
  rewrite Rabs_left by lra; nra.
Qed.

(* In one dimension E sigma_t = alpha(n)^t sigma_0: the model collapses at every n. *)
Theorem collapse n sigma : (2 <= n)%nat -> Un_cv (fun t => alpha n ^ t * sigma) 0.
Proof.
  intro large; generalize (alpha_below_1 n large) (alpha_square n large); intros below [pos _].
  replace 0 with (0 * sigma) by ring.
  apply CV_mult; [| intros eps positive; exists 0%nat; intros; rewrite R_dist_eq; assumption].
  intros eps positive.
  destruct (pow_lt_1_zero (alpha n) ltac:(rewrite Rabs_pos_eq; lra) eps positive) as [N small].
  exists N; intros t late; unfold R_dist; rewrite Rminus_0_r; apply small; assumption.
Qed.

End Collapse_rate.

Definition theorems := (@alpha_below_1, @alpha_increases, @alpha_between, @alpha_tends_to_1,
  @collapse).
Print Assumptions theorems.
