(* Theorem 2, repaired: with n fixed real points the iterates stay near theta_star with high
   probability.

   X is any space with a distance. A probability is used only as far as the union bound needs:
   events may get larger, and the probability of a union is at most the sum. The rounds may
   depend on each other in any way. *)

Require Import Reals Lra Lia Psatz Classical.
Open Scope R_scope.

Section Theorem2.

Variable X : Type.
Variable dist : X -> X -> R.
Hypothesis dist_pos : forall x y, 0 <= dist x y.
Hypothesis dist_triangle : forall x y z, dist x z <= dist x y + dist y z.

Variable Omega : Type.
Variable Pr : (Omega -> Prop) -> R.
Hypothesis Pr_empty : Pr (fun _ => False) = 0.
Hypothesis Pr_monotone : forall E F : Omega -> Prop, (forall w, E w -> F w) -> Pr E <= Pr F.
Hypothesis Pr_union : forall E F : Omega -> Prop, Pr (fun w => E w \/ F w) <= Pr E + Pr F.

(* U is the ball of radius r about theta_star, on which G_infinity contracts. *)
Variables (theta_star : X) (r rho : R) (G_infinity : X -> X).
Definition U theta := dist theta theta_star <= r.
Hypothesis rho_range : 0 <= rho.
Hypothesis contraction :
  forall theta, U theta -> dist (G_infinity theta) theta_star <= rho * dist theta theta_star.

(* Assumption 3 for this n: G s w is the retraining of round s + 1, and log is natural. *)
Variables (n a b eps_opt : R) (G : nat -> Omega -> X -> X).
Definition off delta := eps_opt + a / sqrt n * sqrt (ln (b / delta)).
Definition fails s delta (w : Omega) :=
  exists theta, U theta /\ off delta < dist (G s w theta) (G_infinity theta).
Hypothesis assumption3 : forall delta s, 0 < delta < 1 -> Pr (fails s delta) <= delta.

Variable start : Omega -> X.
Hypothesis start_near : forall w, U (start w).

Fixpoint theta (s : nat) (w : Omega) : X :=
  match s with O => start w | S s => G s w (theta s w) end.

Fixpoint powers (s : nat) : R := match s with O => 0 | S s => powers s + rho ^ s end.
Definition bound c s w := c * powers s + rho ^ s * dist (start w) theta_star.

Lemma powers_unroll s : powers (S s) = 1 + rho * powers s.
Proof. induction s as [| s IH]; simpl in *; [ring | rewrite IH at 1; ring]. Qed.

Lemma union_bound (E : nat -> Omega -> Prop) share t :
  (forall s, (s < t)%nat -> Pr (E s) <= share) ->
  Pr (fun w => exists s, (s < t)%nat /\ E s w) <= INR t * share.
Proof.
  induction t as [| t IH]; intro each.
  - simpl INR; rewrite Rmult_0_l, <- Pr_empty.
    apply Pr_monotone; intros w [s [impossible _]]; lia.
  - rewrite S_INR.
    apply Rle_trans with (Pr (fun w => (exists s, (s < t)%nat /\ E s w) \/ E t w)).
    + apply Pr_monotone; intros w [s [early holds]].
      destruct (Nat.eq_dec s t) as [-> | other]; [now right | left].
      exists s; split; [lia | assumption].
    + apply Rle_trans with (1 := Pr_union _ _).
      generalize (IH (fun s early => each s ltac:(lia))) (each t ltac:(lia)); lra.
Qed.

(* If no round fails, the iterates stay in U (E7) and the recursion unrolls. *)
Lemma recursion delta t w :
  off delta <= (1 - rho) * r -> (forall s, (s < t)%nat -> ~ fails s delta w) ->
  forall s, (s <= t)%nat ->
    U (theta s w) /\ dist (theta s w) theta_star <= bound (off delta) s w.
Proof.
  intros room good s; induction s as [| s IH]; intro early.
  - split; [apply start_near | unfold bound; simpl; lra].
  - destruct (IH ltac:(lia)) as [inside below].
    assert (step : dist (theta (S s) w) theta_star
                   <= off delta + rho * dist (theta s w) theta_star).
    { simpl; apply Rle_trans with (1 := dist_triangle _ (G_infinity (theta s w)) _).
      apply Rplus_le_compat; [| apply contraction; assumption].
      apply Rnot_lt_le; intro far; apply (good s ltac:(lia)); exists (theta s w); auto. }
    unfold U in *; split.
    + apply Rle_trans with (1 := step); nra.
    + apply Rle_trans with (1 := step).
      unfold bound in *; rewrite powers_unroll; simpl pow; nra.
Qed.

Theorem theorem2 delta t :
  0 < delta < 1 -> (1 <= t)%nat ->
  let c := eps_opt + a / sqrt n * sqrt (ln (b * INR t / delta)) in
  c <= (1 - rho) * r ->
  Pr (fun w => ~ forall s, (s <= t)%nat -> dist (theta s w) theta_star <= bound c s w) <= delta.
Proof.
  intros range some c room.
  assert (large : 1 <= INR t) by (replace 1 with (INR 1) by reflexivity; apply le_INR; assumption).
  (* Each round gets the share delta / t. *)
  assert (same : c = off (delta / INR t)).
  { unfold c, off; replace (b / (delta / INR t)) with (b * INR t / delta) by (field; lra).
    reflexivity. }
  rewrite same in *.
  apply Rle_trans with (Pr (fun w => exists s, (s < t)%nat /\ fails s (delta / INR t) w)).
  - apply Pr_monotone; intros w broken; apply NNPP; intro none; apply broken.
    intros s early; apply (recursion (delta / INR t) t w); auto.
    intros i sooner bad; apply none; exists i; auto.
  - apply Rle_trans with (INR t * (delta / INR t)); [| right; field; lra].
    apply union_bound; intros s _; apply assumption3; split.
    + apply Rdiv_lt_0_compat; lra.
    + apply Rmult_lt_reg_r with (INR t); [lra |]; field_simplify; lra.
Qed.

End Theorem2.

(* Without c <= (1 - rho) r it is false (E7): steps off by 0.8 leave U = [-1, 1], where the map
   is theta / 2, and the third iterate exceeds what (14) promises. *)
Theorem leaving_U : exists (G_infinity G : R -> R),
  (forall x, Rabs x <= 1 -> Rabs (G_infinity x) <= 1 / 2 * Rabs x)
  /\ (forall x, Rabs (G x - G_infinity x) <= 8 / 10)
  /\ 8 / 10 * (1 + 1 / 2 + 1 / 4 + 1 / 8) < Rabs (G (G (G 0))).
Proof.
  pose (map x := if Rle_dec (Rabs x) 1 then x / 2 else 1000).
  exists map, (fun x => map x + 8 / 10); repeat split.
  - intros x inside; unfold map; destruct (Rle_dec (Rabs x) 1); [| contradiction].
    unfold Rdiv; rewrite Rabs_mult, (Rabs_pos_eq (/ 2)) by lra; lra.
  - intro x; replace (map x + 8 / 10 - map x) with (8 / 10) by ring; rewrite Rabs_pos_eq; lra.
  - assert (first : map 0 + 8 / 10 = 8 / 10)
      by (unfold map; destruct (Rle_dec (Rabs 0) 1); [lra | rewrite Rabs_R0 in *; lra]).
    assert (second : map (8 / 10) + 8 / 10 = 12 / 10)
      by (unfold map; destruct (Rle_dec (Rabs (8 / 10)) 1); [lra | rewrite Rabs_pos_eq in *; lra]).
    assert (third : map (12 / 10) + 8 / 10 = 1000 + 8 / 10)
      by (unfold map; destruct (Rle_dec (Rabs (12 / 10)) 1); [rewrite Rabs_pos_eq in *; lra | lra]).
    rewrite first, second, third, Rabs_pos_eq; lra.
Qed.

Definition theorems := (@theorem2, @leaving_U).
Print Assumptions theorems.
