"""What may happen to campaigns and coupons, a file per verb: functions of a call that change the view of its batch."""
