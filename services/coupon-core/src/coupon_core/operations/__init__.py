"""What may happen to campaigns and coupons: a file per verb. Functions of (call): load from the view, decide, change it."""
