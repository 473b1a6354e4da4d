(* The monotone-map theorem of the width map: where a loop of an increasing map ends.

   phi takes the variance of the data to the variance of the samples. A mixed loop iterates
   f v = (v0 + lambda phi v) / (1 + lambda) from v0; a fully synthetic one iterates phi. *)

Require Import Reals Lra Lia Psatz.
Open Scope R_scope.

Fixpoint orbit (f : R -> R) (v : R) (t : nat) : R :=
  match t with O => v | S t => f (orbit f v t) end.

Definition increasing_map (f : R -> R) := forall x y, x <= y -> f x <= f y.

(* ---- Convergence of an orbit of an increasing continuous map ---- *)

Section Upwards.

Variables (f : R -> R) (v0 : R).
Hypothesis f_increases : increasing_map f.
Hypothesis f_continuous : continuity f.
Hypothesis upwards : v0 <= f v0.

Lemma orbit_grows : Un_growing (orbit f v0).
Proof. intro t; induction t as [| t IH]; simpl; [assumption | apply f_increases; exact IH]. Qed.

(* No fixed point is passed. *)
Theorem never_beyond v t : v0 <= v -> f v = v -> orbit f v0 t <= v.
Proof.
  intros above fixed; induction t as [| t IH]; simpl; [assumption |].
  rewrite <- fixed; apply f_increases; exact IH.
Qed.

Lemma limit_is_fixed v : Un_cv (orbit f v0) v -> f v = v.
Proof.
  intro limit; apply UL_sequence with (fun t => f (orbit f v0 t)).
  - apply continuity_seq; [apply f_continuous | assumption].
  - intros eps pos; destruct (limit eps pos) as [N near].
    exists N; intros t late; apply (near (S t)); lia.
Qed.

(* From v0 the loop moves up to the next fixed point, if there is one above. *)
Theorem next_fixed_point u : v0 <= u -> f u = u ->
  exists v, Un_cv (orbit f v0) v /\ f v = v /\ v0 <= v
    /\ forall other, v0 <= other -> f other = other -> v <= other.
Proof.
  intros above fixed.
  assert (bounded : has_ub (orbit f v0))
    by (exists u; intros x [t ->]; apply never_beyond; assumption).
  destruct (growing_cv _ orbit_grows bounded) as [v limit]; exists v.
  assert (reaches := growing_ineq _ v orbit_grows limit).
  repeat split; [assumption | apply limit_is_fixed; assumption | apply (reaches O) |].
  intros other higher same; destruct (Rle_or_lt v other) as [done | beyond]; [assumption |].
  destruct (limit (v - other) ltac:(lra)) as [N near].
  generalize (near N ltac:(lia)) (never_beyond other N higher same) (reaches N).
  unfold R_dist; intros close low high; rewrite Rabs_left1 in close by lra; lra.
Qed.

(* Up to its limit the map lies above the diagonal, so the slope there is at most 1. The start
   must not be a fixed point itself: there the slope may be anything. *)
Theorem slope_at_the_end v l : v0 < f v0 -> Un_cv (orbit f v0) v ->
  derivable_pt_lim f v l -> l <= 1.
Proof.
  intros moves limit slope.
  assert (fixed := limit_is_fixed v limit).
  assert (reaches := growing_ineq _ v orbit_grows limit).
  assert (start_below : v0 < v) by (generalize (reaches 1%nat); simpl; lra).
  assert (above : forall x, v0 <= x < v -> x <= f x).
  { intros x [low high].
    assert (some : forall t, x <= orbit f v0 t \/ orbit f v0 t <= x) by (intro; lra).
    assert (passed : forall t, orbit f v0 t <= x -> orbit f v0 (S t) <= x \/ x <= f x).
    { intros t below; destruct (some (S t)) as [over | under]; [right | left; assumption].
      apply Rle_trans with (1 := over); simpl; apply f_increases; assumption. }
    destruct (limit (v - x) ltac:(lra)) as [N near].
    destruct (Rle_or_lt x (f x)) as [done | not]; [assumption | exfalso].
    assert (stays : forall t, orbit f v0 t <= x).
    { induction t as [| t IH]; [assumption |].
      destruct (passed t IH); [assumption | lra]. }
    generalize (near N ltac:(lia)) (stays N); unfold R_dist; intros close under.
    rewrite Rabs_left in close by lra; lra. }
  destruct (Rle_or_lt l 1) as [done | steep]; [assumption | exfalso].
  destruct (slope (l - 1) ltac:(lra)) as [radius close].
  set (h := - Rmin (radius / 2) ((v - v0) / 2)).
  assert (size := cond_pos radius).
  assert (low : 0 < Rmin (radius / 2) ((v - v0) / 2)) by (apply Rmin_glb_lt; lra).
  assert (at_most := Rmin_l (radius / 2) ((v - v0) / 2)).
  assert (at_most' := Rmin_r (radius / 2) ((v - v0) / 2)).
  assert (difference := close h ltac:(unfold h; lra) ltac:(unfold h; rewrite Rabs_left; lra)).
  assert (up := above (v + h) ltac:(unfold h; lra)).
  assert (negative : h < 0) by (unfold h; lra).
  apply Rabs_def2 in difference; destruct difference as [_ low_side].
  assert (quotient : (f (v + h) - f v) / h <= 1).
  { apply Rmult_le_reg_l with (- h); [lra |]; rewrite fixed.
    replace (- h * ((f (v + h) - v) / h)) with (v - f (v + h)) by (field; lra); lra. }
  lra.
Qed.

End Upwards.

(* ---- The same downwards: turn the line round ---- *)

Section Downwards.

Variables (f : R -> R) (v0 : R).
Hypothesis f_increases : increasing_map f.
Hypothesis f_continuous : continuity f.
Hypothesis downwards : f v0 <= v0.

Definition turned x := - f (- x).

Lemma turned_increases : increasing_map turned.
Proof. intros x y below; unfold turned; apply Ropp_le_contravar, f_increases; lra. Qed.

Lemma turned_continuous : continuity turned.
Proof.
  apply continuity_opp with (f := comp f Ropp).
  apply continuity_comp with (f1 := Ropp); [| assumption].
  apply derivable_continuous, (derivable_opp id), derivable_id.
Qed.

Lemma turned_orbit t : orbit turned (- v0) t = - orbit f v0 t.
Proof.
  induction t as [| t IH]; simpl; [| rewrite IH; unfold turned; rewrite Ropp_involutive]; lra.
Qed.

Theorem next_fixed_point_below u : u <= v0 -> f u = u ->
  exists v, Un_cv (orbit f v0) v /\ f v = v /\ v <= v0
    /\ forall other, other <= v0 -> f other = other -> other <= v.
Proof.
  intros below fixed.
  destruct (next_fixed_point turned (- v0) turned_increases turned_continuous)
    with (u := - u) as [v [limit [same [low least]]]];
    try (unfold turned; rewrite ?Ropp_involutive; lra).
  exists (- v); repeat split.
  - intros eps pos; destruct (limit eps pos) as [N near]; exists N; intros t late.
    generalize (near t late); rewrite turned_orbit; unfold R_dist.
    replace (orbit f v0 t - - v) with (- (- orbit f v0 t - v)) by ring; rewrite Rabs_Ropp; auto.
  - unfold turned in same; lra.
  - lra.
  - intros other lower stays.
    generalize (least (- other)); unfold turned; rewrite Ropp_involutive; intro last.
    apply Ropp_le_cancel; rewrite Ropp_involutive; apply last; lra.
Qed.

End Downwards.

(* ---- A threshold: phi shrinks what is narrower and spreads what is wider ---- *)

Theorem threshold_collapse phi tau v :
  increasing_map phi -> continuity phi -> phi 0 = 0 -> (forall x, 0 < x < tau -> phi x < x) ->
  0 < v < tau -> Un_cv (orbit phi v) 0.
Proof.
  intros rises smooth zero shrinks start.
  destruct (next_fixed_point_below phi v rises smooth (Rlt_le _ _ (shrinks v start)) 0)
    as [w [limit [fixed [below greatest]]]]; try lra.
  assert (0 <= w) by (apply greatest; lra).
  destruct (Req_dec w 0) as [-> | other]; [assumption | exfalso].
  generalize (shrinks w); lra.
Qed.

Theorem threshold_spread phi tau u v :
  increasing_map phi -> continuity phi -> phi u = u -> (forall x, tau < x < u -> x < phi x) ->
  tau < v < u -> Un_cv (orbit phi v) u.
Proof.
  intros rises smooth fixed_u spreads start.
  destruct (next_fixed_point phi v rises smooth (Rlt_le _ _ (spreads v start)) u)
    as [w [limit [fixed [above least]]]]; try lra.
  assert (w <= u) by (apply least; lra).
  destruct (Req_dec w u) as [<- | other]; [assumption | exfalso].
  generalize (spreads w); lra.
Qed.

(* ---- Stability at a fixed point, by the slope there ---- *)

Section At_a_fixed_point.

Variables (f : R -> R) (v l : R).
Hypothesis fixed : f v = v.
Hypothesis slope : derivable_pt_lim f v l.

(* Near v the step f x - v is l (x - v), up to e |x - v|. *)
Lemma nearly_linear e : 0 < e -> exists r, 0 < r /\ forall x,
  Rabs (x - v) < r -> Rabs (f x - v - l * (x - v)) <= e * Rabs (x - v).
Proof.
  intro pos; destruct (slope e pos) as [radius close].
  exists radius; split; [apply cond_pos |]; intros x near.
  destruct (Req_dec x v) as [-> | other].
  - rewrite fixed; replace (v - v - l * (v - v)) with 0 by ring.
    rewrite Rminus_eq_0, Rabs_R0; lra.
  - generalize (close (x - v) ltac:(lra) near).
    replace (v + (x - v)) with x by ring; rewrite fixed; intro small.
    replace (f x - v - l * (x - v)) with (((f x - v) / (x - v) - l) * (x - v)) by (field; lra).
    rewrite Rabs_mult; apply Rmult_le_compat_r; [apply Rabs_pos | lra].
Qed.

Theorem attracts : Rabs l < 1 ->
  exists r, 0 < r /\ forall x, Rabs (x - v) < r -> Un_cv (orbit f x) v.
Proof.
  intro flat; destruct (nearly_linear ((1 - Rabs l) / 2) ltac:(lra)) as [r [pos near]].
  set (k := (1 + Rabs l) / 2); assert (k_range : 0 <= k < 1)
    by (unfold k; generalize (Rabs_pos l); lra).
  assert (step : forall x, Rabs (x - v) < r -> Rabs (f x - v) <= k * Rabs (x - v)).
  { intros x inside; generalize (near x inside); intro small.
    replace (f x - v) with ((f x - v - l * (x - v)) + l * (x - v)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _); rewrite (Rabs_mult l).
    unfold k; generalize (Rabs_pos (x - v)); nra. }
  exists r; split; [assumption |]; intros x inside.
  assert (all : forall t, Rabs (orbit f x t - v) <= k ^ t * Rabs (x - v) /\ k ^ t <= 1).
  { induction t as [| t [IH small]]; simpl; [lra |].
    assert (0 <= k ^ t) by (apply pow_le; lra).
    assert (still : Rabs (orbit f x t - v) < r) by (generalize (Rabs_pos (x - v)); nra).
    split; [| nra].
    apply Rle_trans with (1 := step _ still).
    rewrite Rmult_assoc; apply Rmult_le_compat_l; lra. }
  intros eps eps_pos.
  destruct (pow_lt_1_zero k ltac:(rewrite Rabs_pos_eq; lra) (eps / r)
    (Rdiv_lt_0_compat _ _ eps_pos pos)) as [N small].
  exists N; intros t late; unfold R_dist.
  apply Rle_lt_trans with (1 := proj1 (all t)).
  generalize (small t late); rewrite Rabs_pos_eq by (apply pow_le; lra); intro tiny.
  apply (Rmult_lt_compat_r r) in tiny; [| assumption].
  replace (eps / r * r) with eps in tiny by (field; lra).
  assert (0 <= k ^ t) by (apply pow_le; lra); generalize (Rabs_pos (x - v)); nra.
Qed.

Theorem repels : 1 < l ->
  exists r, 0 < r /\ forall x, x <> v -> exists t, r <= Rabs (orbit f x t - v).
Proof.
  intro steep; destruct (nearly_linear ((l - 1) / 2) ltac:(lra)) as [r [pos near]].
  set (h := (l - 1) / 2); assert (h_pos : 0 < h) by (unfold h; lra).
  assert (step : forall x, Rabs (x - v) < r -> (1 + h) * Rabs (x - v) <= Rabs (f x - v)).
  { intros x inside; generalize (near x inside) (Rabs_pos (x - v)); intros small low.
    assert (apart : l * Rabs (x - v) <= Rabs (f x - v) + Rabs (f x - v - l * (x - v))).
    { replace (l * Rabs (x - v)) with (Rabs ((f x - v) + - (f x - v - l * (x - v))))
        by (replace (_ + _) with (l * (x - v)) by ring; rewrite Rabs_mult, (Rabs_pos_eq l); lra).
      apply Rle_trans with (1 := Rabs_triang _ _); rewrite Rabs_Ropp; lra. }
    unfold h; nra. }
  exists r; split; [assumption |]; intros x other.
  assert (away : 0 < Rabs (x - v)) by (apply Rabs_pos_lt; lra).
  (* Were all iterates inside, their distance would grow beyond 1 + t h times the first. *)
  destruct (archimed (r / (h * Rabs (x - v)))) as [far _].
  set (T := Z.to_nat (up (r / (h * Rabs (x - v))))).
  assert (many : r / (h * Rabs (x - v)) < INR T)
    by (unfold T; rewrite INR_IZR_INZ; apply Rlt_le_trans with (1 := far), IZR_le; lia).
  assert (either : forall t, (exists s, r <= Rabs (orbit f x s - v))
    \/ (1 + h) ^ t * Rabs (x - v) <= Rabs (orbit f x t - v)).
  { induction t as [| t [done | IH]]; [right; simpl; lra | left; assumption |].
    destruct (Rle_or_lt r (Rabs (orbit f x t - v))) as [out | inside]; [left; exists t; auto |].
    right; apply Rle_trans with (2 := step _ inside); simpl.
    rewrite Rmult_assoc; apply Rmult_le_compat_l; lra. }
  destruct (either T) as [done | grown]; [assumption | exists T].
  apply Rle_trans with (2 := grown).
  generalize (poly T h h_pos); intro power.
  assert (0 < h * Rabs (x - v)) by (apply Rmult_lt_0_compat; assumption).
  apply (Rmult_lt_compat_r (h * Rabs (x - v))) in many; [| assumption].
  replace (r / (h * Rabs (x - v)) * (h * Rabs (x - v))) with r in many by (field; lra).
  nra.
Qed.

End At_a_fixed_point.

(* ---- The mixed loop ---- *)

Section Mixed.

Variables (phi : R -> R) (v0 lambda : R).
Hypothesis lambda_range : 0 <= lambda.

Definition f v := (v0 + lambda * phi v) / (1 + lambda).

Lemma f_increasing : increasing_map phi -> increasing_map f.
Proof.
  intros rises x y below; unfold f.
  apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra |].
  apply Rplus_le_compat_l, Rmult_le_compat_l; auto.
Qed.

(* The fixed points for all lambda form one curve. *)
Theorem fixed_point_curve v : phi v <> v -> (f v = v <-> lambda = (v - v0) / (phi v - v)).
Proof.
  intro moves; unfold f; split; intro same.
  - apply Rmult_eq_reg_r with (phi v - v); [| lra].
    replace ((v - v0) / (phi v - v) * (phi v - v)) with (v - v0) by (field; lra).
    apply (f_equal (fun x => x * (1 + lambda))) in same.
    replace ((v0 + lambda * phi v) / (1 + lambda) * (1 + lambda)) with (v0 + lambda * phi v)
      in same by (field; lra); lra.
  - apply Rmult_eq_reg_r with (1 + lambda); [| lra].
    replace ((v0 + lambda * phi v) / (1 + lambda) * (1 + lambda)) with (v0 + lambda * phi v)
      by (field; lra).
    assert (lambda * (phi v - v) = v - v0) by (rewrite same; field; lra); lra.
Qed.

Variables (v slope : R).
Hypothesis phi_slope : derivable_pt_lim phi v slope.
Hypothesis moves : phi v <> v.
Hypothesis fixed : f v = v.

Theorem slope_of_f : derivable_pt_lim f v (lambda * slope / (1 + lambda)).
Proof.
  apply (derivable_pt_lim_ext (plus_fct (fct_cte (v0 / (1 + lambda)))
    (mult_real_fct (lambda / (1 + lambda)) phi))).
  - intro x; unfold plus_fct, fct_cte, mult_real_fct, f; field; lra.
  - replace (lambda * slope / (1 + lambda)) with (0 + lambda / (1 + lambda) * slope)
      by (field; lra).
    apply derivable_pt_lim_plus; [apply derivable_pt_lim_const |].
    apply derivable_pt_lim_scal; assumption.
Qed.

Definition curve x := (x - v0) / (phi x - x).

Theorem slope_of_curve :
  derivable_pt_lim curve v ((1 + lambda - lambda * slope) / (phi v - v)).
Proof.
  assert (on : lambda = curve v) by (apply fixed_point_curve; assumption).
  replace ((1 + lambda - lambda * slope) / (phi v - v))
    with (((1 - 0) * (phi v - id v) - (slope - 1) * (id v - fct_cte v0 v)) / Rsqr (phi v - id v)).
  - apply derivable_pt_lim_div with (f1 := minus_fct id (fct_cte v0)) (f2 := minus_fct phi id).
    + apply derivable_pt_lim_minus; [apply derivable_pt_lim_id | apply derivable_pt_lim_const].
    + apply derivable_pt_lim_minus; [assumption | apply derivable_pt_lim_id].
    + unfold minus_fct, id; lra.
  - unfold Rsqr, id, fct_cte; rewrite on; unfold curve; field; lra.
Qed.

(* Stable if and only if the curve moves away from v0 as lambda grows. *)
Theorem stable_iff : lambda * slope / (1 + lambda) < 1 <->
  0 < (1 + lambda - lambda * slope) / (phi v - v) * (phi v - v).
Proof.
  replace ((1 + lambda - lambda * slope) / (phi v - v) * (phi v - v))
    with (1 + lambda - lambda * slope) by (field; lra).
  split; intro stable.
  - apply (Rmult_lt_compat_r (1 + lambda)) in stable; [| lra].
    replace (lambda * slope / (1 + lambda) * (1 + lambda)) with (lambda * slope) in stable
      by (field; lra); lra.
  - apply Rmult_lt_reg_r with (1 + lambda); [lra |].
    replace (lambda * slope / (1 + lambda) * (1 + lambda)) with (lambda * slope) by (field; lra).
    lra.
Qed.

End Mixed.

Definition theorems := (@never_beyond, @next_fixed_point, @slope_at_the_end,
  @next_fixed_point_below, @threshold_collapse, @threshold_spread, @attracts, @repels,
  @fixed_point_curve, @slope_of_f, @slope_of_curve, @stable_iff).
Print Assumptions theorems.
