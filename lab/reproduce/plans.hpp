// The runs of each item.
#pragma once

#include "lab/reproduce/item.hpp"

namespace gradstab::lab {

// Of the paper.
Plan figure_1_plan(Scale scale);
Plan figure_4_plan(Scale scale);
Plan figure_7_plan(Scale scale);
Plan table_1_plan(Scale scale);
Plan table_4_plan(Scale scale);
Plan figure_5_plan(Scale scale);
Plan figure_6_plan(Scale scale);
Plan figure_9_plan(Scale scale);
Plan table_2_plan(Scale scale);
Plan table_3_plan(Scale scale);
Plan table_9_plan(Scale scale);
Plan figure_3_plan(Scale scale);
Plan figure_10_plan(Scale scale);

// Our own.
Plan spike_injection_plan(Scale scale);
Plan freeze_plan(Scale scale);
Plan instability_plan(Scale scale);
Plan nan_injection_plan(Scale scale);

}  // namespace gradstab::lab
