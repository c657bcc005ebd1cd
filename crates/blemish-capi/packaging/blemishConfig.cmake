# find_package(blemish): the targets blemish::blemish (shared) and, where the archive is there, blemish::static.
get_filename_component(_blemish_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET blemish::blemish)
  add_library(blemish::blemish SHARED IMPORTED)
  set_target_properties(blemish::blemish PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_blemish_prefix}/include")
  if(WIN32)
    set_target_properties(blemish::blemish PROPERTIES
      IMPORTED_LOCATION "${_blemish_prefix}/bin/blemish.dll"
      IMPORTED_IMPLIB "${_blemish_prefix}/lib/blemish.lib")
  elseif(APPLE)
    set_target_properties(blemish::blemish PROPERTIES IMPORTED_LOCATION "${_blemish_prefix}/lib/libblemish.dylib")
  else()
    set_target_properties(blemish::blemish PROPERTIES
      IMPORTED_LOCATION "${_blemish_prefix}/lib/libblemish.so"
      IMPORTED_SONAME "libblemish.so.0")
  endif()
endif()

if(NOT TARGET blemish::static AND EXISTS "${_blemish_prefix}/lib/libblemish.a")
  find_package(Threads REQUIRED)
  add_library(blemish::static STATIC IMPORTED)
  set_target_properties(blemish::static PROPERTIES
    IMPORTED_LOCATION "${_blemish_prefix}/lib/libblemish.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_blemish_prefix}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
endif()

unset(_blemish_prefix)
