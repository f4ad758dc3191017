// As much of the engine's header of this name (module Core) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/IsRunningDedicatedServer
// Declarations alone: what is compiled against it is not run.
#pragma once

bool IsRunningDedicatedServer();
