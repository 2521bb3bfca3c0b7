"""The paper's theory on real data: kernels and minimum norms (Table 3), expressivity, measures."""
