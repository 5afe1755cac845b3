keep_caches=no
