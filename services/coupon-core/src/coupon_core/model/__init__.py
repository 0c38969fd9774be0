"""The coupon model: what campaigns and coupons are. No I/O, no clock."""
