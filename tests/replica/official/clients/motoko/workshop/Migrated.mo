// What Main.mo becomes: its count turned into a text by a migration function.
import Nat "mo:core/Nat";

(with migration = func(old : { var count : Nat; var events : [Text]; var hoard : [var Nat64] }) : {
  var tally : Text; var events : [Text]; var hoard : [var Nat64];
} { { var tally = "counted " # Nat.toText(old.count); var events = old.events; var hoard = old.hoard } })
persistent actor Workshop {
  var tally : Text = "";
  var events : [Text] = [];
  var hoard : [var Nat64] = [var];
  public query func told() : async (Text, [Text], Nat) { (tally, events, hoard.size()) };
};
