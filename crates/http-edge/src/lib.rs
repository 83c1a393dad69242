//! What the daemons' servers share: accept loop, limits, Host rule, error envelope, correlation.
