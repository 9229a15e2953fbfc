// What Motoko has of its own: actor classes, system functions, async*, finally, streamed HTTP, much persistent memory.
import Array "mo:core/Array";
import Blob "mo:core/Blob";
import Child "Child";
import IC "ic:aaaaa-aa";
import Nat "mo:core/Nat";
import Nat64 "mo:core/Nat64";
import Principal "mo:core/Principal";
import Time "mo:core/Time";
import VarArray "mo:core/VarArray";

persistent actor Workshop {
  var count = 0;
  var events : [Text] = [];
  var hoard : [var Nat64] = [var];
  transient var alarms = 0;
  transient var low = 0;

  func note(event : Text) { events := Array.concat(events, [event]) };

  system func preupgrade() { note("preupgrade") };
  system func postupgrade() { note("postupgrade") };
  system func timer(set : Nat64 -> ()) : async () {
    alarms += 1;
    set(Nat64.fromIntWrap(Time.now()) + 2_000_000_000);
  };
  system func lowmemory() : async* () { low += 1 };
  system func inspect({ caller : Principal; msg : { #make : Any; #remake : Any; #retire : Any; #fails : Any; #undone : Any;
    #nested : Any; #collect : Any; #increment : Any; #statusOf : Any; #history : Any; #tasks : Any; #hoarded : Any;
    #http_request : Any; #stream : Any; #anonymousOnly : Any } }) : Bool {
    switch msg {
      case (#anonymousOnly _) Principal.isAnonymous(caller);
      case _ true;
    };
  };

  public func anonymousOnly() : async () {};
  public func increment() : async Nat { count += 1; count };
  public query func history() : async (Nat, [Text]) { (count, events) };
  public query func tasks() : async (Nat, Nat) { (alarms, low) };

  // Actor classes: created with cycles, upgraded, reinstalled.
  public func make(cycles : Nat, name : Text) : async Principal {
    Principal.fromActor(await (with cycles) Child.Child(name));
  };
  public func remake(child : Principal, keep : Bool, name : Text) : async (Text, Text) {
    let old = actor (Principal.toText(child)) : Child.Child;
    let new = await (system Child.Child)(if keep #upgrade old else #reinstall old)(name);
    await new.names();
  };
  public func statusOf(child : Principal) : async (Bool, Nat, [Principal]) {
    let status = await IC.canister_status({ canister_id = child });
    (status.status == #running, status.cycles, status.settings.controllers);
  };
  public func retire(child : Principal) : async () {
    await IC.stop_canister({ canister_id = child });
    await IC.delete_canister({ canister_id = child });
  };

  // finally runs after a failure that was caught, and when a trap ends the method after an await.
  public func fails(child : Principal) : async Text {
    try { await (actor (Principal.toText(child)) : Child.Child).failing(); "none" }
    catch _ { note("caught"); "caught" }
    finally { note("finally") };
  };
  public func undone(child : Principal) : async () {
    try {
      note("before");
      ignore await (actor (Principal.toText(child)) : Child.Child).names();
      note("after");
      assert false;
    } finally { note("cleaned") };
  };

  // async* runs in the caller's message until it awaits.
  func twice(depth : Nat) : async* Nat {
    if (depth == 0) { ignore await IC.raw_rand(); 1 } else { (await* twice(depth - 1)) + (await* twice(depth - 1)) };
  };
  public func nested(depth : Nat) : async Nat { await* twice(depth) };

  // Main memory that outlives upgrades as it is.
  public func collect(size : Nat) : async Nat {
    hoard := VarArray.tabulate<Nat64>(size, func i = Nat64.fromNat(i));
    hoard.size();
  };
  public query func hoarded(index : Nat) : async Nat64 { hoard[index] };

  type Token = { page : Nat; of : Nat };
  type Piece = { body : Blob; token : ?Token };
  type Request = { method : Text; url : Text; headers : [(Text, Text)]; body : Blob };
  type Response = {
    status_code : Nat16;
    headers : [(Text, Text)];
    body : Blob;
    streaming_strategy : ?{ #Callback : { token : Token; callback : shared query Token -> async Piece } };
  };
  func piece(page : Nat, of : Nat) : Piece {
    let byte = Nat.toNat8(page);
    let body = Blob.fromArray(Array.repeat(byte, 1_000_000));
    { body; token = if (page + 1 < of) ?{ page = page + 1; of } else null };
  };
  public query func stream(token : Token) : async Piece { piece(token.page, token.of) };
  public query func http_request(_ : Request) : async Response {
    let first = piece(0, 6);
    let streaming_strategy = switch (first.token) {
      case (?token) ?#Callback({ token; callback = stream });
      case null null;
    };
    { status_code = 200; headers = [("content-type", "application/octet-stream")]; body = first.body; streaming_strategy };
  };
};
