// A canister with an interface of its own for tools that read it from the module; its main memory outlives upgrades.
// VERSION is replaced before compiling.
import Array "mo:core/Array";
import Blob "mo:core/Blob";
import Debug "mo:core/Debug";
import Nat "mo:core/Nat";
import Principal "mo:core/Principal";
import Runtime "mo:core/Runtime";

persistent actor class Greeter(greeting : Text) {
  type Peer = actor { greet : query Text -> async Text };
  public type Address = { street : Text; number : Nat8; city : ?Text };

  var calls : Nat = 0;

  public query func version() : async Text { "VERSION" };
  public query func greet(name : Text) : async Text { greeting # ", " # name # "!" };
  public composite query func greetBy(peer : Principal, name : Text) : async Text {
    await (actor (Principal.toText(peer)) : Peer).greet(name);
  };
  public shared query ({ caller }) func whoami() : async Principal { caller };
  public query func deliver(address : Address, times : [Int]) : async { address : Address; sum : Int } {
    { address; sum = Array.foldLeft<Int, Int>(times, 0, func(sum, time) = sum + time) };
  };
  public query func big(size : Nat) : async Blob { Blob.fromArray(Array.repeat<Nat8>(7, size)) };

  public func count() : async Nat {
    calls += 1;
    Debug.print("counted to " # Nat.toText(calls));
    calls;
  };
  public func variable(name : Text) : async ?Text { Runtime.envVar<system>(name) };
  public func fail(why : Text) : async () { Runtime.trap(why) };
};
