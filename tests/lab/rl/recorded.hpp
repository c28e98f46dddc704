// Recorded roll-outs, and where a replay of one parts from them.
#pragma once

#include <string>

#include "lab/support/json.hpp"

namespace gradstab::lab::rl {

/// The roll-outs of "halfcheetah", "ant", "hopper" or "walker2d" by MuJoCo 2.2.2 from the published models.
Json recorded_rollouts(const std::string& robot);
/// The packed file.
std::string recorded_file(const std::string& robot);

/// What a replay has in another way than the recording; empty if nothing. Positions may differ by 1e-9 and
/// velocities by 1e-8, or by a hundred times what a relative change of 1e-13 of all masses does; where that
/// is above 1e-4 the roll-out is chaotic and no longer compared. `compared`: steps that were.
std::string difference(const Json& replayed, const Json& recorded, int& compared);

/// The same of the models' constants, to 1e-12 of the largest number beside them. A quaternion and its
/// negative are the same turn, and where a slide joint lies changes nothing.
std::string model_difference(const Json& replayed, const Json& recorded);

}  // namespace gradstab::lab::rl
