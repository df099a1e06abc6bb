{
  "targets": [{
    "target_name": "ultraface",
    "sources": ["ultraface.c"],
    "include_dirs": ["../../include"],
    "libraries": ["-L<(module_root_dir)/../../build/shared", "-lultraface"],
    "ldflags": ["-Wl,-rpath,<(module_root_dir)/../../build/shared"]
  }]
}
