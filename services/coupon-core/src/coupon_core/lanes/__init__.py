"""The lane: exactly-once effect of each record of one partition of `coupon.commands`."""
