using UnrealBuildTool;

public class Torikumi : ModuleRules
{
	public Torikumi(ReadOnlyTargetRules Target) : base(Target)
	{
		PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
		// Core's files have names of their own that are not made to share one.
		bUseUnity = false;
		PublicDependencyModuleNames.AddRange(new[] { "Core", "CoreUObject", "Engine" });
		PrivateDependencyModuleNames.Add("HTTP");
	}
}
