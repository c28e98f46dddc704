// The machine's own streaming rates, which bound what any transform can reach.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gradstab/backend.hpp"

namespace gradstab::bench {

/// "AMD EPYC", as the operating system calls it.
std::string processor_name();

using Memory = std::span<std::byte>;

/// Reads every byte once with a plain loop, in pieces handed out by the executor.
void stream_read(Executor& executor, const std::vector<Memory>& memory);

/// Reads and writes every byte once, in place.
void stream_read_write(Executor& executor, const std::vector<Memory>& memory);

/// Pieces as long as the transform's blocks of float32.
std::vector<Memory> in_pieces(const std::vector<Memory>& memory);

}  // namespace gradstab::bench
