// The models, embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

extern const std::string_view half_cheetah_xml, ant_xml, hopper_xml, walker_xml, scene_xml;

}  // namespace gradstab::lab::assets
