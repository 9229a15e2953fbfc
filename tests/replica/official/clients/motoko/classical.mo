// What a canister written in Motoko asks of the IC; upgrades carry its stable variables through stable memory.
// VERSION is replaced before compiling.
import Array "mo:base/Array";
import Cycles "mo:base/ExperimentalCycles";
import Error "mo:base/Error";
import Principal "mo:base/Principal";
import Region "mo:base/Region";
import Timer "mo:base/Timer";

actor class Keeper(greeting : Text) = self {
  type Peer = actor {
    all : query () -> async [Text];
    deposit : () -> async Nat;
    failAfter : Principal -> async ();
  };
  type Management = actor { raw_rand : () -> async Blob };

  stable var words : [Text] = [greeting];
  stable let region = Region.new();
  var beats = 0;
  var rings = 0;

  system func postupgrade() { words := Array.append(words, ["upgraded to VERSION"]) };
  system func heartbeat() : async () { beats += 1 };
  system func inspect({ arg : Blob }) : Bool { arg.size() < 100_000 };

  public query func version() : async Text { "VERSION" };
  public query func all() : async [Text] { words };
  public query func tasks() : async { beats : Nat; rings : Nat } { { beats; rings } };
  public shared query ({ caller }) func whoami() : async Principal { caller };
  public composite query func allOf(peer : Principal) : async [Text] {
    await (actor (Principal.toText(peer)) : Peer).all();
  };

  public func add(word : Text) : async Nat {
    words := Array.append(words, [word]);
    words.size();
  };

  // One alarm now and one that comes again every second.
  public func ring() : async () {
    ignore Timer.setTimer<system>(#seconds 0, func() : async () { rings += 1 });
    ignore Timer.recurringTimer<system>(#seconds 1, func() : async () { rings += 1 });
  };

  // Stable memory beside the variables, at the end of `pages` pages.
  public func store(pages : Nat64, data : Blob) : async Nat64 {
    let before = Region.grow(region, pages);
    Region.storeBlob(region, Region.size(region) * 65_536 - 1_000, data);
    before;
  };
  public query func load(size : Nat) : async Blob {
    Region.loadBlob(region, Region.size(region) * 65_536 - 1_000, size);
  };

  // Takes half of what is offered.
  public func deposit() : async Nat { Cycles.accept<system>(Cycles.available() / 2) };
  public func pay(peer : Principal, amount : Nat) : async { taken : Nat; refunded : Nat } {
    let other : Peer = actor (Principal.toText(peer));
    Cycles.add<system>(amount);
    let taken = await other.deposit();
    { taken; refunded = Cycles.refunded() };
  };

  // What happens before the await stays, what happens after it is undone by the trap.
  public func failAfter(peer : Principal) : async () {
    words := Array.append(words, ["before"]);
    ignore await (actor (Principal.toText(peer)) : Peer).all();
    words := Array.append(words, ["after"]);
    assert words.size() == 0;
  };
  public func failureOf(peer : Principal) : async Text {
    try {
      await (actor (Principal.toText(peer)) : Peer).failAfter(Principal.fromActor(self));
      "none";
    } catch error {
      switch (Error.code(error)) {
        case (#canister_error) "canister_error: " # Error.message(error);
        case _ "another code: " # Error.message(error);
      };
    };
  };
  public func rejecting() : async () { throw Error.reject("no, thanks") };
  public func random() : async Blob { await (actor ("aaaaa-aa") : Management).raw_rand() };
};
