//! Nothing here yet: an integrator's own `BlobStore` will live here.
