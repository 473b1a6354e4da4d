(* Theorem 1: the bound (11) on the Jacobian J of a retraining, from Lemma E.1.

   T is an algebra of matrices with a submultiplicative norm, such as the spectral norm. Lemma E.1
   gives (78), (A + lambda B) J = lambda B, and (80), |B - A| <= L eps. Assumption 2 makes A
   invertible with |A^-1| <= 1/alpha. *)

Require Import Reals Lra Lia Psatz.
From Coquelicot Require Import Coquelicot.
Open Scope R_scope.

Section Theorem1.

Variable T : ModuleSpace R_Ring.
Variable mul : T -> T -> T.
Variable I : T.
Variable norm : T -> R.

Hypothesis mul_assoc : forall x y z, mul x (mul y z) = mul (mul x y) z.
Hypothesis mul_one : forall x, mul I x = x.
Hypothesis mul_plus_l : forall x y z, mul (plus x y) z = plus (mul x z) (mul y z).
Hypothesis mul_plus_r : forall x y z, mul x (plus y z) = plus (mul x y) (mul x z).
Hypothesis mul_scal_l : forall a x y, mul (scal a x) y = scal a (mul x y).
Hypothesis mul_scal_r : forall a x y, mul x (scal a y) = scal a (mul x y).
Hypothesis norm_pos : forall x, 0 <= norm x.
Hypothesis norm_plus : forall x y, norm (plus x y) <= norm x + norm y.
Hypothesis norm_scal : forall a x, norm (scal a x) = Rabs a * norm x.
Hypothesis norm_mul : forall x y, norm (mul x y) <= norm x * norm y.
Hypothesis norm_one : norm I <= 1.

Variables lambda alpha L eps : R.
Hypothesis lambda_range : 0 <= lambda.
Hypothesis alpha_range : 0 < alpha.

Variables A B inverse_A J : T.
Hypothesis A_inverse : mul inverse_A A = I.
Hypothesis assumption2 : norm inverse_A <= / alpha.
Hypothesis lemma_e1_80 : norm (minus B A) <= L * eps.
Hypothesis lemma_e1_78 : mul (plus A (scal lambda B)) J = scal lambda B.

Definition q := lambda * (1 + L * eps / alpha).

(* (79) *)
Lemma lemma_e1_79 : norm (mul inverse_A B) <= 1 + L * eps / alpha.
Proof.
  replace B with (plus (minus B A) A)
    by (unfold minus; rewrite <- plus_assoc, plus_opp_l, plus_zero_r; reflexivity).
  rewrite mul_plus_r, A_inverse.
  apply Rle_trans with (1 := norm_plus _ _).
  assert (norm (mul inverse_A (minus B A)) <= / alpha * (L * eps)).
  { apply Rle_trans with (1 := norm_mul _ _); apply Rmult_le_compat; auto. }
  unfold Rdiv; generalize norm_one; lra.
Qed.

Lemma scaled_79 : norm (scal lambda (mul inverse_A B)) <= q.
Proof.
  rewrite norm_scal, Rabs_pos_eq by assumption.
  unfold q; apply Rmult_le_compat_l; [assumption | exact lemma_e1_79].
Qed.

(* Multiply (78) by A^-1: X + lambda A^-1 B X = A^-1 (A + lambda B) X. *)
Lemma unfold_78 X :
  norm X <= norm (mul inverse_A (mul (plus A (scal lambda B)) X)) + q * norm X.
Proof.
  set (K := scal lambda (mul inverse_A B)).
  assert (same : mul inverse_A (mul (plus A (scal lambda B)) X) = plus X (mul K X)).
  { unfold K. rewrite mul_assoc, mul_plus_r, A_inverse, mul_plus_l, mul_one, mul_scal_r.
    reflexivity. }
  assert (back : X = plus (plus X (mul K X)) (scal (opp one) (mul K X)))
    by (rewrite scal_opp_one, <- plus_assoc, plus_opp_r, plus_zero_r; reflexivity).
  rewrite same; rewrite back at 1.
  apply Rle_trans with (1 := norm_plus _ _); apply Rplus_le_compat_l.
  rewrite norm_scal; change (opp one) with (Ropp 1); rewrite Rabs_Ropp, Rabs_R1, Rmult_1_l.
  apply Rle_trans with (1 := norm_mul _ _).
  apply Rmult_le_compat_r; [apply norm_pos | exact scaled_79].
Qed.

(* The paper sums a Neumann series; one equation is enough: |J| <= q + q |J|. *)
Theorem bound_11 : q < 1 -> norm J <= q / (1 - q).
Proof.
  intro small.
  generalize (unfold_78 J) scaled_79; rewrite lemma_e1_78, mul_scal_r; intros step below.
  apply Rmult_le_reg_r with (1 - q); [lra |].
  replace (q / (1 - q) * (1 - q)) with q by (field; lra); nra.
Qed.

(* A + lambda B has no kernel, so that J exists and (78) determines it. *)
Theorem invertible X : q < 1 -> norm (mul (plus A (scal lambda B)) X) = 0 -> norm X = 0.
Proof.
  intros small zero.
  generalize (unfold_78 X) (norm_mul inverse_A (mul (plus A (scal lambda B)) X)) (norm_pos X).
  rewrite zero; nra.
Qed.

Fixpoint power (t : nat) : T := match t with O => I | S t => mul J (power t) end.

(* The condition of Theorem 1, and what it is for: t retrainings contract by the t-th power. *)
Theorem theorem1 t : q < 1 / 2 -> q / (1 - q) < 1 /\ norm (power t) <= (q / (1 - q)) ^ t.
Proof.
  intro condition. generalize (bound_11 ltac:(lra)); intro bound; split.
  - apply Rmult_lt_reg_r with (1 - q); [lra |].
    replace (q / (1 - q) * (1 - q)) with q by (field; lra); lra.
  - induction t as [| t IH]; simpl; [exact norm_one |].
    apply Rle_trans with (1 := norm_mul _ _); apply Rmult_le_compat; auto.
Qed.

(* The bound as the paper prints it. *)
Theorem printed_form : q < 1 ->
  q / (1 - q) = lambda * (alpha + eps * L) / (alpha - lambda * (alpha + eps * L)).
Proof.
  intro small.
  replace (lambda * (alpha + eps * L)) with (alpha * q) by (unfold q; field; lra).
  replace (alpha - alpha * q) with (alpha * (1 - q)) by ring; field; lra.
Qed.

End Theorem1.

(* Section 6 quotes the condition q < 1. It does not suffice (E4): numbers A = -1, B = 9. *)
Theorem condition_of_section_6 : exists lambda alpha L eps A B J : R,
  0 <= lambda /\ 0 < alpha /\ A <= - alpha /\ Rabs (B - A) <= L * eps
  /\ (A + lambda * B) * J = lambda * B /\ q lambda alpha L eps < 1 /\ 1 < Rabs J.
Proof.
  exists (8 / 100), 1, 1, 10, (-1), 9, (- 18 / 7); unfold q.
  rewrite (Rabs_left (- 18 / 7)), Rabs_pos_eq by lra; repeat split; lra.
Qed.

Definition theorems := (@bound_11, @invertible, @theorem1, @printed_form,
  @condition_of_section_6).
Print Assumptions theorems.
