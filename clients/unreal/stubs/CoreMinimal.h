// As much of the engine's header of this name (module Core) as the plugin uses, written from
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/FString
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/TArray
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/TMap
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/TSharedPtr
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/TFunction
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/TDelegate
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/CoreUObject/UObject
//   https://dev.epicgames.com/documentation/en-us/unreal-engine/API/Runtime/Core/FText
// Declarations alone: what is compiled against it is not run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>

using uint8 = std::uint8_t;
using int32 = std::int32_t;
using uint64 = unsigned long long;
using TCHAR = char16_t;
#define TEXT(Text) u##Text
#define TORIKUMI_API

// What the header tool reads, and the compiler does not see.
#define UCLASS(...)
#define UENUM(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define GENERATED_BODY()

class FString
{
public:
	FString();
	FString(const TCHAR* Text);
	const TCHAR* operator*() const;
	bool IsEmpty() const;
	bool operator==(const FString& Other) const;
};
const TCHAR* UTF8_TO_TCHAR(const char* Text);
const char* TCHAR_TO_UTF8(const TCHAR* Text);
struct FCString
{
	static double Atod(const TCHAR* Text);
};

class FText
{
public:
	static FText FromString(const FString& Text);
	const FString& ToString() const;
};

template <typename T>
class TArray
{
public:
	int32 Add(const T& Item);
	const T* begin() const;
	const T* end() const;
};

template <typename K, typename V>
struct TPair
{
	K Key;
	V Value;
};

template <typename K, typename V>
class TMap
{
public:
	V& Add(const K& Key);
	int32 Remove(const K& Key);
	V* Find(const K& Key);
	const V& FindChecked(const K& Key) const;
	TPair<K, V>* begin();
	TPair<K, V>* end();
	const TPair<K, V>* begin() const;
	const TPair<K, V>* end() const;
};

template <typename T>
using TFunction = std::function<T>;
template <typename T>
std::remove_reference_t<T>&& MoveTemp(T&& Value)
{
	return static_cast<std::remove_reference_t<T>&&>(Value);
}

enum class ESPMode : uint8
{
	NotThreadSafe,
	ThreadSafe
};
template <typename T, ESPMode Mode = ESPMode::ThreadSafe>
class TSharedRef
{
public:
	T* operator->() const;
	T& operator*() const;
};
template <typename T, ESPMode Mode = ESPMode::ThreadSafe>
class TSharedPtr
{
public:
	TSharedPtr() = default;
	template <typename U>
	TSharedPtr(const TSharedRef<U, Mode>& Other);
	T* operator->() const;
	T& operator*() const;
	bool IsValid() const;
	void Reset();
};
// Checks the arguments as the engine's would.
template <typename T, typename... Args>
TSharedRef<T> MakeShared(Args&&... Arguments)
{
	static_assert(std::is_constructible_v<T, Args...>, "no such constructor");
	((void)Arguments, ...);
	return TSharedRef<T>();
}

template <typename T>
class TWeakObjectPtr
{
public:
	TWeakObjectPtr& operator=(T* Object);
	T* Get() const;
};
template <typename T>
class TObjectPtr
{
public:
	T* operator->() const;
	bool operator!=(std::nullptr_t) const;
};

class UWorld;
class UObject
{
public:
	virtual ~UObject();
	virtual UWorld* GetWorld() const;
};
template <typename To, typename From>
To* Cast(From* Object)
{
	return dynamic_cast<To*>(Object);
}
template <typename T>
T* NewObject(UObject* Outer);

class FDelegateHandle
{
};
template <typename Signature>
class TDelegate;
template <typename Result, typename... Args>
class TDelegate<Result(Args...)>
{
public:
	template <typename T>
	static TDelegate CreateUObject(T* Object, Result (T::*Method)(Args...));
	template <typename F>
	static TDelegate CreateWeakLambda(const UObject* Object, F Function)
	{
		static_assert(std::is_invocable_r_v<Result, F, Args...>, "the lambda has other parameters");
		(void)Object, (void)Function;
		return TDelegate();
	}
	template <typename F>
	void BindLambda(F Function)
	{
		static_assert(std::is_invocable_r_v<Result, F, Args...>, "the lambda has other parameters");
		(void)Function;
	}
	bool ExecuteIfBound(Args... Arguments) const;
};
template <typename... Args>
class TMulticastDelegate
{
public:
	template <typename T>
	FDelegateHandle AddUObject(T* Object, void (T::*Method)(Args...));
	bool Remove(FDelegateHandle Handle);
	void Broadcast(Args... Arguments) const;
};
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, A, N1) using Name = TMulticastDelegate<A>
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(Name, A, N1, B, N2) using Name = TMulticastDelegate<A, B>
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(Name, A, N1, B, N2, C, N3) using Name = TMulticastDelegate<A, B, C>
