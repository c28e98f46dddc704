"""Prints where this interpreter's torch is, as a CMake list: version, C++ ABI (0 or 1), folder of its libraries, and
the folders of its headers."""

import os

import torch

root = os.path.dirname(torch.__file__)
headers = os.path.join(root, "include")
print(
    torch.__version__,
    int(torch._C._GLIBCXX_USE_CXX11_ABI),
    os.path.join(root, "lib"),
    headers,
    os.path.join(headers, "torch", "csrc", "api", "include"),
    sep=";",
)
