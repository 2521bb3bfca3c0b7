"""Many runs: jobs, the scheduler, local slots, Ray, what is shown of them."""
