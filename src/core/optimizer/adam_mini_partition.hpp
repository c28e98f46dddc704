// Which numbers of a parameter share a second moment in Adam-mini, by the parameter's name.
#pragma once

#include "core/optimizer/optimizer_rule.hpp"

namespace gradstab {

/// The first matching rule wins; names are compared in lower case.
///   1  bias                                                                  element
///   2  k_proj q_proj wq wk query key                                         head
///   3  embed embd wte lm_head output final_layer v_proj wv value
///      feed_forward linear mlp o_proj wo attn.proj                           row
///   4  anything else (norm gains)                                            tensor
/// Tensors of rank 0 or 1 that rule 3 would divide into rows are one unit.
///
/// Errors, where the original goes on with a wrong partition or stops with an exception of its own: a short
/// word found inside a longer one ("key" in "monkey"), dim or n_heads missing or not fitting, a query or key
/// weight that is no whole number of heads. `overrides` settle what the name cannot.
Result<ParameterRule> adam_mini_rule(const AdamMiniOptions& options, const Parameter& parameter);

}  // namespace gradstab
