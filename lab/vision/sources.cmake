# The parts of vision that need no torch, for whoever compiles them on their own. They need JPEG::JPEG and PNG::PNG.
set(vision_data
  augmentation.cpp batch_maker.cpp batch_queue.cpp cifar.cpp colour.cpp crops.cpp erase.cpp geometry.cpp idx.cpp jpeg.cpp
  loader.cpp mix.cpp normalize.cpp open_source.cpp packed_pictures.cpp part_order.cpp picture_folder.cpp picture_source.cpp
  png.cpp policy.cpp read_picture.cpp resize.cpp)
set(vision_kind
  model_configs.cpp vision_data_report.cpp vision_kind.cpp vision_recipes.cpp vision_settings.cpp vision_time.cpp)
